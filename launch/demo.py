"""The whole product, small: from media to a measured video.

Every stage is a command that can be run by hand. A stage that is done is left
out when the demo is run again; one that was interrupted goes on.
"""

import shlex

from eartalk_jax import files
from eartalk_jax.counting import clock
from eartalk_jax.documents import read_shaped
from eartalk_jax.errors import UserError
from eartalk_jax.evaluation.figures import FIGURES
from eartalk_jax.evaluation.targets import judge, read_figures
from eartalk_jax.locks import alone_in
from eartalk_jax.outputs import check_folder
from launch import cli
from launch.arguments import Parser, integer
from launch.demo_stages import Plan, make_stages
from launch.watched import run_watched

_EPILOG = """example:
  python -m launch.demo --out runs/demo --seed 20
"""


class Ledger:
  """What was done so far, how long it took and how much memory it needed.

  Kept in DIR/demo.json, so that times add up over restarts.
  """

  def __init__(self, path):
    self._path = path
    self._stages, self.peak_gb = {}, 0.0
    if path.exists():
      self._stages, self.peak_gb = _read_ledger(path)

  @property
  def seconds(self):
    """Of all stages together."""
    return sum(entry["seconds"] for entry in self._stages.values())

  def is_done(self, stage):
    """Whether this very command has run to its end and its output is there."""
    entry = self._stages.get(stage.name, {})
    same = entry.get("command") == stage.command
    return same and entry["done"] and stage.output.exists()

  def open(self, stage):
    """Begins a stage; earlier attempts at the same command count."""
    entry = self._stages.get(stage.name)
    if entry is None or entry["command"] != stage.command or entry["done"]:
      entry = {"command": stage.command, "seconds": 0.0}
      self._stages[stage.name] = entry
    entry["done"] = False
    before = entry["seconds"]

    def tell(seconds, gigabytes):
      entry["seconds"] = before + seconds
      self.peak_gb = max(self.peak_gb, gigabytes)
      self._write()

    return tell

  def close(self, stage):
    """The stage is done."""
    self._stages[stage.name]["done"] = True
    self._write()

  def table(self, stages):
    """The stages as a report shows them."""
    return [
      {
        "title": stage.title,
        "command": show(stage.command),
        "seconds": self._stages[stage.name]["seconds"],
      }
      for stage in stages
      if stage.name in self._stages
    ]

  def _write(self):
    kept = {"stages": self._stages, "peak_rss_gb": self.peak_gb}
    files.write_json(self._path, kept)


def _read_ledger(path):
  """What is kept in demo.json: (stages by name, gigabytes)."""
  remedy = "delete it: the demo then begins anew"
  kept = read_shaped(path, {"stages": dict, "peak_rss_gb": float}, remedy)
  stages, gigabytes = kept["stages"], kept["peak_rss_gb"]
  if not all(map(_is_entry, stages.values())):
    raise UserError(f"{path} is damaged; {remedy}")
  return stages, gigabytes


def _is_entry(stage):
  """Whether a value of demo.json is one that a Ledger wrote."""
  return (
    isinstance(stage, dict)
    and isinstance(stage.get("seconds"), (int, float))
    and {"command", "done"} <= stage.keys()
  )


def show(command):
  """A command as one would type it."""
  return shlex.join(["python", *command])


def run_demo(out, plan):
  """Runs what is left to do; returns the metrics.

  Raises:
    UserError: a stage failed; the stage itself has said why.
  """
  stages = make_stages(out, plan)
  ledger = Ledger(out / "demo.json")
  fresh = False  # whether an earlier stage made something new
  for number, stage in enumerate(stages, 1):
    head = f"[{number}/{len(stages)}] {stage.title}"
    if ledger.is_done(stage) and not fresh:
      print(f"{head}: done before", flush=True)
      continue
    fresh = True
    print(f"\n{head}\n  {show(stage.command)}", flush=True)
    if stage.name == "report":
      _add_costs(out, ledger)
      files.write_json(out / "stages.json", ledger.table(stages))
    stage.prepare()
    tell = ledger.open(stage)
    status = run_watched(stage.command, tell)
    if status:
      raise UserError(
        f"stage {stage.title!r} ended with status {status}; when its cause, "
        "printed above, is out of the way, run the same command again: what "
        "is done is not done again"
      )
    ledger.close(stage)
  return _add_costs(out, ledger)


def _add_costs(out, ledger):
  """Completes metrics.json by time and memory; returns it."""
  path = out / "evaluation" / "metrics.json"
  metrics = read_figures(path)
  metrics["wall_seconds"] = round(ledger.seconds, 1)
  metrics["peak_rss_gb"] = round(ledger.peak_gb, 2)
  files.write_json(path, metrics)
  return metrics


def summary(out, metrics):
  """The targets as a table, and where to look next, in plain text."""
  lines = ["", f"{'':34}{'needed':>14}{'measured':>14}"]
  lines += [
    f"{v.figure.heading:34}{v.needed:>14}{v.measured:>14}  {v.mark}"
    for v in judge(metrics)
  ]
  if metrics.get("lip_ceiling") is not None:
    names = ("lip_ceiling", "lip_copy_baseline", "lip_wrong_audio_own_ceiling")
    real, still, common = (FIGURES["lip"].text(metrics[n]) for n in names)
    lines.append(
      f"lip: {real} on real video, {still} for a still portrait; two people's "
      f"true mouths agree by {common}"
    )
  return "\n".join(
    [
      *lines,
      "",
      f"all stages took {clock(metrics['wall_seconds'])}; look next at",
      f"  {out / 'report.html'}   everything on one page",
      f"  {out / 'sample.mp4'}   the video",
      f"  {out / 'evaluation' / 'metrics.json'}   every figure",
      f"  tensorboard --logdir {out}   the training curves",
    ]
  )


def main(argv=None):
  """The command."""
  parser = Parser("demo", __doc__, _EPILOG)
  parser.add_argument("--out", required=True, metavar="DIR")
  parser.add_argument("--seed", type=integer(0, 2**31), default=20)
  args = parser.parse_args(argv)
  check_folder(args.out)
  with alone_in(args.out) as out:
    metrics = run_demo(out, Plan(seed=args.seed))
  print(summary(out, metrics))


if __name__ == "__main__":
  cli.run(main)
