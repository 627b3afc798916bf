"""The same model in JAX and in PyTorch: a training step, a streamed frame.

  python -m benchmarks.torch_vs_jax --checkpoint runs/demo/talker --threads 2

Exports the checkpoint, then runs JAX, PyTorch eager and PyTorch compiled
(torch.compile, static shapes), each in a process of its own, on the same cores,
one at a time in turn: weights, batch, portrait and speech are the same.

  train   loss, gradient, clipping, AdamW (fused in PyTorch), average of the
          weights; the batch of the run's config, everything given. Nothing of
          loading or logging.
  frame   features of 40 ms of speech, noise, backbone, head, tokenizer, pixels
          in numpy: one stream, as a user would run it

A ratio is the other one's median over JAX's: above 1, JAX is faster; behind it
the middle half of the ratios of single rounds. Needs torch and a C++ compiler.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from eartalk_jax import files
from eartalk_jax.counting import counting
from eartalk_jax.errors import UserError
from eartalk_jax.outputs import check_file
from launch import cli
from launch.arguments import Parser, integer

_WORKER = pathlib.Path(__file__).with_name("torch_vs_jax_worker.py")
_DTYPES = ("float32", "bfloat16")
KINDS = ("jax", "torch", "torch compiled")
TASKS = ("train", "frame")


class Worker:
  """A process that measures when it is asked to, and sleeps otherwise."""

  def __init__(self, kind, folders, threads, dtype):
    environment = os.environ | {
      "JAX_PLATFORMS": "cpu",
      "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",  # large pages, for all
    }
    command = [sys.executable, "-m", f"benchmarks.{_WORKER.stem}", kind, dtype]
    command += [str(threads), *map(str, folders)]
    self._process = subprocess.Popen(
      command,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
      env=environment,
    )

  def ask(self, task, count):
    """Seconds of each of `count` steps or frames."""
    self._process.stdin.write(f"{task} {count}\n")
    self._process.stdin.flush()
    for line in self._process.stdout:
      if line.startswith("{"):
        return json.loads(line)["seconds"]
    raise RuntimeError("a worker ended; its error is above")

  def close(self):
    """Ends it."""
    self._process.stdin.close()
    self._process.wait()


def measure(workers, task, rounds, count):
  """{kind: [median seconds of each round]}; who begins changes."""
  for worker in workers.values():
    worker.ask(task, 3)  # compiles
  taken = {kind: [] for kind in workers}
  kinds = list(workers)
  with counting(f"{task}, in turn", rounds, "rounds") as advance:
    for index in range(rounds):
      start = index % len(kinds)
      for kind in kinds[start:] + kinds[:start]:
        seconds = workers[kind].ask(task, count)
        taken[kind].append(statistics.median(seconds))
      advance()
  return taken


def compare(taken):
  """{kind: {"ms", "ratio", "ratio_low", "ratio_high"}}, ratios to JAX."""
  figures = {}
  for kind, seconds in taken.items():
    ratios = [s / jax for s, jax in zip(seconds, taken["jax"], strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4)
    figures[kind] = {
      "ms": 1e3 * statistics.median(seconds),
      "ratio": statistics.median(seconds) / statistics.median(taken["jax"]),
      "ratio_low": low,
      "ratio_high": high,
    }
  return figures


def tell(dtype, task, figures):
  """Prints a row for each kind, and what is asked of JAX."""
  for kind, row in figures.items():
    print(
      f"{dtype:9} {task:6} {kind:15} {row['ms']:8.2f} ms   "
      f"{row['ratio']:5.2f} "
      f"({row['ratio_low']:.2f} to {row['ratio_high']:.2f})",
      flush=True,
    )
  best = min(figures[kind]["ratio"] for kind in KINDS[1:])
  print(f"{dtype:9} {task:6} the best of PyTorch over JAX: {best:.2f}")


def run(checkpoint, dtypes, threads, rounds):
  """{dtype: {task: figures}}."""
  found = {}
  with tempfile.TemporaryDirectory() as temporary:
    folder = pathlib.Path(temporary) / "exported"
    command = [sys.executable, "-m", "launch.export_torch"]
    command += ["--checkpoint", checkpoint, "--out", str(folder)]
    if subprocess.run(command).returncode:
      raise UserError(f"{checkpoint} cannot be exported; the reason is above")
    for dtype in dtypes:
      folders = (checkpoint, folder)
      workers = {k: Worker(k, folders, threads, dtype) for k in KINDS}
      try:
        for task, count in (("train", 8), ("frame", 50)):
          figures = compare(measure(workers, task, rounds, count))
          tell(dtype, task, figures)
          found.setdefault(dtype, {})[task] = figures
      finally:
        for worker in workers.values():
          worker.close()
  return found


def main(argv=None):
  """Prints the figures, and writes them."""
  parser = Parser(prog="python -m benchmarks.torch_vs_jax", description=__doc__)
  add = parser.add_argument
  add("--checkpoint", required=True, help="a run of the talker")
  add(
    "--threads",
    type=integer(1),
    default=2,
    help="cores and threads (default 2)",
  )
  add("--rounds", type=integer(2), default=15, help="default 15")
  add("--dtype", nargs="+", choices=_DTYPES, default=_DTYPES)
  add("--json", help="file for the figures")
  args = parser.parse_args(argv)
  if args.json:
    check_file(args.json, "--json")
  found = run(args.checkpoint, args.dtype, args.threads, args.rounds)
  if args.json:
    files.write_json(args.json, found)


if __name__ == "__main__":
  cli.run(main)
