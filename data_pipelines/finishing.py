"""What completes a folder of committed shards: the filter and the manifest.

  OUT/scores.jsonl    every sub-clip and reject, a line each, with its verdict

Nothing is decoded here, so another filter takes no time.
"""

import dataclasses
import json
import pathlib

from data_pipelines import filters, shards, work
from data_pipelines.fields import frames_features
from data_pipelines.ingest import Settings
from eartalk_jax import files
from eartalk_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Selection:
  """What a filter keeps of the sub-clips in a folder's shards.

  Attributes:
    plan: the content of plan.json.
    entries: what is known of each shard.
    limits: option -> number, see `filters.FILTERS`.
    lines: a dict for each sub-clip and reject, with its "reason" (or None).
    dropped: numbers of the records that the filter leaves out.
  """

  plan: dict
  entries: list
  limits: dict
  lines: list
  dropped: list

  def counts(self):
    """How many sub-clips got each reason; those kept are under None."""
    counts = {None: 0}
    for line in self.lines:
      counts[line["reason"]] = counts.get(line["reason"], 0) + 1
    return counts


def select(out, limits):
  """Applies a filter to a folder whose shards are all committed.

  Raises:
    UserError: shards are missing, or what is known of them is damaged.
  """
  plan, entries = work.read_all(out)
  lines, dropped = [], []
  rows = [row for entry in entries for row in entry["rows"]]
  for number, row in enumerate(rows):
    reason = filters.verdict(row["scores"], limits)
    lines.append(row | {"reason": reason})
    if reason:
      dropped.append(number)
  for entry in entries:
    lines += entry["rejects"]
  return Selection(plan, entries, limits, lines, dropped)


def finish(out, selection):
  """Writes scores.jsonl, the TFDS metadata and the manifest; returns that.

  Raises:
    UserError: nothing is kept; the folder stays unfinished then.
  """
  out = pathlib.Path(out)
  counts = selection.counts()
  text = "".join(json.dumps(x, sort_keys=True) + "\n" for x in selection.lines)
  files.write_text(out / "scores.jsonl", text)
  rejects = {reason: n for reason, n in counts.items() if reason}
  if not counts[None]:
    (out / "manifest.json").unlink(missing_ok=True)
    reasons = ", ".join(f"{n} {reason}" for reason, n in rejects.items())
    raise UserError(
      f"nothing was kept ({reasons}); {out / 'scores.jsonl'} says why for each "
      "file; give other videos, or other limits without --input"
    )
  config = selection.plan["config"]
  fields = {f.name: config[f.name] for f in dataclasses.fields(Settings)}
  manifest = {
    "kind": "frames",
    "config": config,
    "filters": {key: str(value) for key, value in selection.limits.items()},
    "dropped": selection.dropped,
    "categories": config["categories"],
    "track_sizes": config["track_sizes"],
    "rejects": rejects,
    "shards": [_public(entry) for entry in selection.entries],
  }
  return shards.finish_dataset(
    out, frames_features(Settings(**fields)), manifest
  )


def _public(entry):
  """A shard's entry without what only a new filter needs."""
  return {k: v for k, v in entry.items() if k not in ("rows", "rejects")}
