"""The ablation study's table, and its variants."""

import dataclasses
import inspect
import json
import subprocess
import sys

import pytest

from configs import ablation
from eartalk_jax.config import from_config
from eartalk_jax.errors import UserError
from eartalk_jax.evaluation import ablations
from eartalk_jax.evaluation.figures import FIGURES
from eartalk_jax.training.train_config import TrainConfig
from launch import ablate


def _rows():
  values = {
    "full": (0.80, 0.82, 0.84),
    "worse": (0.50, 0.60, 0.70),
    "noisy": (0.60, 0.75, 0.90),
    "better": (0.90, 0.91, 0.92),
  }
  return [
    {"variant": variant, "seed": seed, "lip": lip, "train_seconds": 10.0 + lip}
    for variant, lips in values.items()
    for seed, lip in enumerate(lips)
  ]


def test_a_difference_counts_beyond_both_spreads():
  found = ablations.summarise(_rows())
  mean, spread = found["worse"]["lip"]
  assert (round(mean, 6), round(spread, 6)) == (0.6, 0.1)
  told = {
    name: ablations.verdict(found[name], found["full"], FIGURES["lip"])
    for name in found
  }
  assert told == {"full": "", "worse": "worse", "noisy": "", "better": "better"}
  # More seconds are neither better nor worse.
  seconds = FIGURES["train_seconds"]
  assert ablations.verdict(found["worse"], found["full"], seconds) == ""
  loud = dataclasses.replace(FIGURES["lip"], better="less")
  assert ablations.verdict(found["worse"], found["full"], loud) == "better"


def test_the_page_names_every_run_that_failed(tmp_path):
  rows = _rows() + [{"variant": "worse", "seed": 3, "failed": "no memory"}]
  told = {name: f"what {name} is" for name in ("full", "worse", "noisy")}
  ablations.write_page(tmp_path, told, rows)
  page = (tmp_path / "ablations.md").read_text()
  assert "| worse | what worse is | **0.600 ± 0.100** |" in page
  assert "| full | what full is | 0.820 ± 0.020 |" in page
  assert "- worse, seed 3, failed: no memory" in page
  assert (tmp_path / "ablations.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("variant", ablation.VARIANTS)
def test_every_variant_is_a_whole_config_that_differs(variant):
  config = from_config(TrainConfig, ablation.get_config(variant))
  full = from_config(TrainConfig, ablation.get_config())
  assert (config.model == full.model) == (variant == "full")
  assert (config.data, config.run) == (full.data, full.run)


def test_an_unknown_variant_is_named(tmp_path):
  with pytest.raises(ValueError, match="'no_snik'; known: full"):
    ablation.get_config("no_snik")
  with pytest.raises(UserError, match="run `make demo` first"):
    ablate.main(["--demo", str(tmp_path), "--out", str(tmp_path / "out")])


def test_a_page_of_failed_runs_alone_has_no_picture(tmp_path):
  rows = [{"variant": "full", "seed": 0, "failed": "status 2"}]
  ablations.write_page(tmp_path, {"full": "nothing"}, rows)
  assert "failed: status 2" in (tmp_path / "ablations.md").read_text()
  assert not (tmp_path / "ablations.png").exists()


def _script(tmp_path, monkeypatch, body):
  """Makes the cells' commands run `body` instead of training."""
  monkeypatch.setattr(
    ablate.subprocess,
    "Popen",
    lambda command, **options: _popen(
      [sys.executable, "-c", inspect.cleandoc(body), *command[2:]], **options
    ),
  )
  return ablate.Cell("full", 0, tmp_path / "full-0")


_popen = subprocess.Popen


def test_a_cell_that_is_done_is_not_done_again(tmp_path, monkeypatch):
  cell = _script(
    tmp_path,
    monkeypatch,
    """
    import json, pathlib, sys
    if "launch.evaluate" in sys.argv:
      out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
      out.mkdir()
      (out / "metrics.json").write_text(json.dumps({"lip": 0.5}))
    """,
  )
  commands = [["launch.train"], ["launch.evaluate", "--out"]]
  commands[1].append(str(cell.folder / "evaluation"))
  first = ablate.run_cell(cell, commands, {0})
  assert first["metrics"]["lip"] == 0.5
  # A second evaluation would fail: its folder is there.
  assert ablate.run_cell(cell, commands, {0}) == json.loads(
    (cell.folder / "cell.json").read_text()
  )
  changed = [[*commands[0], "--config.run.steps=5"], commands[1]]
  again = ablate.run_cell(cell, changed, {0})
  assert again == {"failed": "launch.evaluate ended with status 1"}
  assert "FileExistsError" in (cell.folder / "log.txt").read_text()
