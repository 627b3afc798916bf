"""The command `eartalk`: every job of launch/ by its name, from any folder.

`eartalk JOB ARGUMENTS` is `python -m launch.JOB ARGUMENTS`: the same process
does the job. A job is a line in JOBS; its line of help begins its module.
"""

import ast
import pathlib
import runpy
import signal
import sys

# Before a folder of the user's is searched: there may be another `configs`.
import configs  # noqa: F401
import data_pipelines  # noqa: F401
from eartalk_jax.config import nearest
from eartalk_jax.errors import one_line
from launch import arguments as options

JOBS = {
  "data": ("make_corpus", "prepare", "tokenize"),
  "encoders": ("import_encoder", "verify_encoder"),
  "training": ("train_tokenizer", "train"),
  "video": ("demo", "sample"),
  "measuring": ("evaluate", "long_run", "ablate", "report"),
  "scaling": ("sweep", "sweep_cells", "fit", "transfer", "coordinate_check"),
  "machines": ("compile_check", "checkpoint", "goodput"),
  "exchange": ("export_torch", "verify_export", "import_torch"),
}
_USAGE = """usage: eartalk JOB ARGUMENTS...

A portrait and speech become a talking-head video. The same jobs are there as
python -m launch.JOB; eartalk JOB --help says more of one.
"""


def main():
  """Does the job that the first argument names, or lists all of them."""
  job, *arguments = sys.argv[1:] or ["--help"]
  if job in ("-h", "--help"):
    # Nobody may read it to the end.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    print(_listing())
    return 0
  known = [name for names in JOBS.values() for name in names]
  if job not in known:
    problem = f"unknown job {job!r}; {nearest(job, known)} See eartalk --help"
    print(f"error: {one_line(problem)}", file=sys.stderr)
    return 2
  _run(job, arguments)
  return 0


def _run(job, arguments):
  """Becomes `python -m launch.JOB`, whose modules are looked up here first."""
  options.called = "eartalk "
  if not sys.flags.safe_path:
    sys.path[0] = ""  # not the folder of this script
  sys.argv[1:] = arguments
  runpy.run_module(f"launch.{job}", run_name="__main__", alter_sys=True)


def _listing():
  lines = [_USAGE]
  for group, names in JOBS.items():
    lines += [f"{group}:", *(f"  {name:<18}{_about(name)}" for name in names)]
  return "\n".join(lines)


def _about(job):
  """The first line of a job's module, which is read and not imported."""
  module = pathlib.Path(__file__).with_name(f"{job}.py")
  doc = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
  return doc.partition("\n")[0]


if __name__ == "__main__":
  sys.exit(main())
