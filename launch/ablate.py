"""Trains and measures the model, one part changed at a time.

Every variant of configs/ablation.py with several seeds, on the corpus of the
demo; a table with the spread over seeds and a plot say what each part is worth.
"""

import concurrent.futures
import dataclasses
import os
import pathlib
import queue
import statistics
import subprocess
import sys
import time

from configs import ablation
from data_pipelines.shards import open_dataset
from eartalk_jax import files
from eartalk_jax.counting import counting
from eartalk_jax.documents import read_shaped, without_nan
from eartalk_jax.errors import UserError
from eartalk_jax.evaluation import ablations
from eartalk_jax.evaluation.held_out import load_clips
from eartalk_jax.evaluation.probe import probe_config
from eartalk_jax.evaluation.probe_store import probe_for
from eartalk_jax.evaluation.targets import read_figures
from eartalk_jax.generate import load_generator
from eartalk_jax.locks import alone_in
from eartalk_jax.outputs import check_folder
from eartalk_jax.training.compilation import use_compile_cache
from launch import cli
from launch.arguments import Parser, integer

_TIMED_FRAMES = 200
# Of the demo, what is used.
_PARTS = ("frames/train", "frames/held_out", "tokens/train", "tokenizer")

_EPILOG = """example, after `make demo`:
  python -m launch.ablate --demo runs/demo --out runs/ablations

DIR gets a folder for each run with its log.txt, results.json, ablations.md and
ablations.png. Run it again to continue: what is done is not done again.
"""


@dataclasses.dataclass(frozen=True)
class Cell:
  """One run: a variant and a seed; everything goes below `folder`."""

  variant: str
  seed: int
  folder: pathlib.Path

  @property
  def name(self):
    """For people."""
    return f"{self.variant}, seed {self.seed}"


def _commands(cell, demo, out, steps):
  talker = cell.folder / "talker"
  train = [
    "launch.train",
    f"--config={ablation.__file__}:{cell.variant}",
    f"--workdir={talker}",
    f"--config.data.tokens={demo / 'tokens' / 'train'}",
    f"--config.tokenizer={demo / 'tokenizer' / 'tokenizer'}",
    f"--config.run.seed={cell.seed}",
  ]
  if steps is not None:
    train.append(f"--config.run.steps={steps}")
  evaluate = ["launch.evaluate", "--checkpoint", talker]
  evaluate += ["--data", demo / "frames" / "held_out"]
  evaluate += ["--probe-data", demo / "frames" / "train"]
  evaluate += ["--probe", out / "probe", "--out", cell.folder / "evaluation"]
  return [[str(word) for word in words] for words in (train, evaluate)]


def run_cell(cell, commands, cores):
  """Trains and measures; returns what is known of the cell afterwards.

  Args:
    cell: the cell.
    commands: its commands.
    cores: numbers of the processor cores that it may use.
  """
  done = cell.folder / "cell.json"
  if done.is_file():
    remedy = f"delete {cell.folder} to run it again"
    kept = read_shaped(done, {"commands": list, "metrics": dict}, remedy)
    if kept["commands"] == commands:
      return kept
  cell.folder.mkdir(parents=True, exist_ok=True)
  seconds = []
  with open(cell.folder / "log.txt", "a") as log:
    for command in commands:
      began = time.monotonic()
      process = subprocess.Popen(
        [sys.executable, "-m", *command], stdout=log, stderr=subprocess.STDOUT
      )
      # At once: the threads that it will start inherit its cores.
      os.sched_setaffinity(process.pid, cores)
      status = process.wait()
      seconds.append(time.monotonic() - began)
      if status:
        return {"failed": f"{command[0]} ended with status {status}"}
  metrics = read_figures(cell.folder / "evaluation" / "metrics.json")
  metrics["train_seconds"] = seconds[0]
  kept = {"commands": commands, "metrics": metrics}
  files.write_json(done, kept)
  return kept


def run_cells(cells, args):
  """Runs all cells, `args.jobs` at a time: {cell: what is known of it}."""
  cores = sorted(os.sched_getaffinity(0))
  free = queue.SimpleQueue()
  for job in range(args.jobs):
    free.put(cores[job :: args.jobs] or cores)

  def run(cell):
    mine = free.get()
    try:
      return run_cell(
        cell, _commands(cell, args.demo, args.out, args.steps), mine
      )
    finally:
      free.put(mine)

  found = {}
  with (
    counting("ablation", len(cells), "runs") as advance,
    concurrent.futures.ThreadPoolExecutor(args.jobs) as pool,
  ):
    waiting = {pool.submit(run, cell): cell for cell in cells}
    for future in concurrent.futures.as_completed(waiting):
      cell = waiting[future]
      found[cell] = future.result()
      advance()
      if "failed" in found[cell]:
        print(
          f"{cell.name}: {found[cell]['failed']}; see {cell.folder}/log.txt"
        )
  return found


def frame_ms(generator, clip):
  """Milliseconds of a frame of one stream, decoding included; the median."""
  features_TAF = clip.features_TAF[:1].repeat(_TIMED_FRAMES, axis=0)
  took, began = [], None
  for _ in generator.generate(
    clip.portrait_YX3[None], features_TAF[None], chunk=1
  ):
    if began is not None:
      took.append(time.perf_counter() - began)
    began = time.perf_counter()
  return 1e3 * statistics.median(took)


def _arguments(argv):
  parser = Parser("ablate", __doc__, _EPILOG)
  add = parser.add_argument
  add("--out", required=True, metavar="DIR")
  add(
    "--demo",
    type=pathlib.Path,
    default=pathlib.Path("runs/demo"),
    metavar="DIR",
    help="the folder of `make demo`, whose data is used (default runs/demo)",
  )
  few, steps = integer(1, 1000), integer(1, 2**31 - 1)
  add("--seeds", type=few, default=3, help="runs of each variant (default 3)")
  add("--jobs", type=few, default=1, help="runs at a time (default 1)")
  add("--steps", type=steps, help="training steps (default: as configured)")
  add(
    "--variants",
    nargs="+",
    default=list(ablation.VARIANTS),
    choices=list(ablation.VARIANTS),
    metavar="NAME",
    help=f"some of {', '.join(ablation.VARIANTS)} (default: all)",
  )
  return parser.parse_args(argv)


def _probe(args):
  """Trains the probe that all runs share."""
  dataset = open_dataset(args.demo / "frames" / "train", "frames")
  size = dataset.manifest["config"]["size"]
  config = probe_config(dataset.manifest, size)
  probe_for(args.out / "probe", dataset.fingerprint, dataset.source, config)


def main(argv=None):
  """The command."""
  args = _arguments(argv)
  for part in _PARTS:
    if not (args.demo / part).is_dir():
      raise UserError(f"{args.demo / part} is not there; run `make demo` first")
  parts = [args.demo / part for part in _PARTS]
  check_folder(args.out, reads=[args.demo, *parts, *(p.parent for p in parts)])
  with alone_in(args.out) as args.out:
    use_compile_cache()
    rows = _run_and_time(args)
    told = {name: ablation.VARIANTS[name][0] for name in args.variants}
    files.write_json(args.out / "results.json", without_nan(rows))
    ablations.write_page(args.out, told, rows)
  print((args.out / "ablations.md").read_text())
  return 1 if any("failed" in row for row in rows) else 0


def _run_and_time(args):
  """A row of figures, or of what failed, for each cell."""
  held_out = open_dataset(args.demo / "frames" / "held_out", "frames")
  _probe(args)
  cells = [
    Cell(variant, seed, args.out / f"{variant}-{seed}")
    for seed in range(args.seeds)
    for variant in args.variants
  ]
  found = run_cells(cells, args)
  rows = []
  with counting("timing frames", len(cells), "runs") as advance:
    for cell in cells:
      row = {"variant": cell.variant, "seed": cell.seed}
      row |= found[cell].get("metrics", {"failed": found[cell].get("failed")})
      if "failed" not in row:
        generator = load_generator(cell.folder / "talker")
        clips = load_clips(held_out.source, generator.speech, [], 2, 100, 0)
        row["frame_ms"] = frame_ms(generator, clips[0])
      rows.append(row)
      advance()
  return rows


if __name__ == "__main__":
  cli.run(main)
