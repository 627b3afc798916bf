"""What work on a frames dataset writes down, and how that is read again.

OUT/plan.json           what is being made, of which files
OUT/shards/00003.json   a committed shard: its manifest entry, `key`, which is
                        a hash of what it was made from, `rows` of its
                        sub-clips and `rejects`
"""

import pathlib

from data_pipelines import filters, shards
from eartalk_jax.documents import read_shaped
from eartalk_jax.errors import UserError

_PLAN = {
  "config": {
    "size": int,
    "faces": str,
    "longest": float,
    "track_sizes": {str: int},
    "categories": {str: [str]},
  },
  "files_per_shard": int,
  "files": [str],
}
_ENTRY = shards.ENTRY | {
  "key": str,
  "rows": [{"scores": {rule.score: float for rule in filters.FILTERS}}],
  "rejects": [{"reason": str}],
}


def entry_path(out, index):
  """The file whose presence says that shard `index` is committed."""
  return pathlib.Path(out) / "shards" / f"{index:05d}.json"


def read_plan(out):
  """The content of plan.json.

  Raises:
    UserError: there is none, or it is damaged.
  """
  path = pathlib.Path(out) / "plan.json"
  remedy = f"delete {out} and run the command with --input"
  plan = read_shaped(path, _PLAN, remedy)
  if plan["files_per_shard"] < 1:
    raise UserError(f"{path} is damaged; {remedy}")
  return plan


def read_entry(out, index):
  """The content of a committed shard's file.

  Raises:
    UserError: there is none, or it is damaged.
  """
  remedy = "run the command with --input, which mends it"
  return read_shaped(entry_path(out, index), _ENTRY, remedy)


def read_all(out):
  """(plan, entries of all shards in order).

  Raises:
    UserError: the dataset was not prepared to the end, or is damaged.
  """
  plan = read_plan(out)
  count = -(-len(plan["files"]) // plan["files_per_shard"])
  missing = [i for i in range(count) if not entry_path(out, i).exists()]
  if missing:
    raise UserError(
      f"{entry_path(out, missing[0])} is missing: {out} was not prepared to "
      "the end; run the command with --input"
    )
  return plan, [read_entry(out, index) for index in range(count)]
