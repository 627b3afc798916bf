"""What users meet first: the command `eartalk`, the package, the README."""

import ast
import importlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import tomllib

import pytest

import eartalk_jax
from launch import __main__ as eartalk

ROOT = pathlib.Path(__file__).parents[1]
HEAVY = {"jax", "numpy", "absl", "flax"}
# What pip writes for an entry point, in a folder that is not the project's.
SCRIPT = "import sys\nfrom launch.__main__ import main\nsys.exit(main())\n"


def call(folder, *words, python=(), **more):
  """`eartalk WORDS...`, or python PYTHON WORDS..., in a folder."""
  script = folder / "bin" / "eartalk"
  script.parent.mkdir(exist_ok=True)
  script.write_text(SCRIPT)
  return subprocess.run(
    [sys.executable, *(python or [script]), *words],
    cwd=folder,
    env=os.environ | {"PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
    timeout=120,
    **more,
  )


def _runnable():
  """Modules of launch/ that do something when they are run."""
  for path in ROOT.glob("launch/[!_]*.py"):
    tests = [
      ast.unparse(node.test)
      for node in ast.parse(path.read_text()).body
      if isinstance(node, ast.If)
    ]
    if "__name__ == '__main__'" in tests:
      yield path.stem


def test_the_script_of_the_installed_project_is_this_one():
  project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
  module, _, function = project["scripts"]["eartalk"].partition(":")
  assert getattr(importlib.import_module(module), function) is eartalk.main


def test_every_module_that_can_be_run_is_a_job_of_one_group():
  jobs = [job for names in eartalk.JOBS.values() for job in names]
  assert sorted(jobs) == sorted(_runnable())


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_every_job_is_listed_in_a_line(words, monkeypatch, capsys):
  before = signal.getsignal(signal.SIGPIPE)
  monkeypatch.setattr(sys, "argv", ["eartalk", *words])
  try:
    assert eartalk.main() == 0
  finally:
    signal.signal(signal.SIGPIPE, before)
  lines = capsys.readouterr().out.splitlines()
  assert max(map(len, lines)) <= 80
  for names in eartalk.JOBS.values():
    for name in names:
      [line] = [line for line in lines if line.split()[:1] == [name]]
      assert line.endswith(".") and len(line.split()) > 3


@pytest.mark.parametrize("word", ["trian", "\udce9\n", "--halp", "x" * 9000])
def test_an_unknown_job_is_a_line(word, monkeypatch, capsys):
  monkeypatch.setattr(sys, "argv", ["eartalk", word])
  assert eartalk.main() == 2
  said = capsys.readouterr().err
  assert said.startswith("error: unknown job")
  assert len(said.splitlines()) == 1 and len(said) < 2100
  assert ("did you mean train?" in said) == (word == "trian")


def test_listing_and_package_import_nothing_that_is_slow(tmp_path):
  code = (
    "import sys, eartalk_jax; from launch import __main__; sys.argv[1:] = []; "
    "__main__.main(); print(sorted({m.partition('.')[0] for m in sys.modules}))"
  )
  done = call(tmp_path, python=["-c", code])
  assert done.returncode == 0, done.stderr
  loaded = set(ast.literal_eval(done.stdout.splitlines()[-1]))
  assert "eartalk_jax" in loaded and not loaded & HEAVY


def test_a_job_ends_as_the_module_does_and_its_usage_says_its_name(tmp_path):
  words = ("list", "no_run")
  ours = call(tmp_path, "checkpoint", *words)
  theirs = call(tmp_path, *words, python=["-m", "launch.checkpoint"])
  assert (ours.returncode, ours.stderr) == (2, theirs.stderr)
  assert "no_run holds no checkpoints" in ours.stderr
  usage = call(tmp_path, "checkpoint", "list", "--help")
  assert usage.returncode == 0
  assert usage.stdout.startswith("usage: eartalk checkpoint list [-h]")


def test_a_job_has_flags_and_shipped_configs_in_any_folder(tmp_path):
  (tmp_path / "configs").mkdir()  # the user's own
  config = "--config=configs/ablation.py:no_sink"
  done = call(tmp_path, "train", config, "--workdir=run")
  assert done.returncode == 2 and "Traceback" not in done.stderr
  assert "there is no tokenizer in runs/demo" in done.stderr
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", eartalk_jax.__all__)
def test_every_public_name_is_there(name):
  found = getattr(eartalk_jax, name)
  assert found.__name__ == name and found.__doc__
  assert name in dir(eartalk_jax)


def test_no_other_name_is_there():
  assert not hasattr(eartalk_jax, "load_generater")
  with pytest.raises(ImportError):
    from eartalk_jax import Generater  # noqa: F401


def test_the_readme_has_every_folder_and_documents_have_jobs_that_exist():
  text = (ROOT / "README.md").read_text()
  folders = [
    *ROOT.glob("*/__init__.py"),
    *ROOT.glob("eartalk_jax/*/__init__.py"),
  ]
  assert len(folders) > 20
  for folder in folders:
    assert f"`{folder.parent.name}/`" in text
  jobs = {job for names in eartalk.JOBS.values() for job in names}
  for path in (ROOT / "README.md", *ROOT.glob("docs/*.md")):
    text = path.read_text()
    assert {*re.findall(r"(?:\beartalk |launch\.)([a-z_]+)", text)} <= jobs
    for link in re.findall(r"\]\(([^):#]+)\)", text):
      assert (path.parent / link).exists(), (path, link)
