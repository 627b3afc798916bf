"""launch.sweep: plans, runs, goes on, marks what diverged, refuses the rest."""

import csv
import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
from tokens import write_tokenizer, write_tokens

from eartalk_jax.checkpoints.checkpoint_reading import load_ema
from eartalk_jax.errors import UserError
from eartalk_jax.jobs import sweep_cells
from eartalk_jax.jobs.sweep_planning import check_data
from eartalk_jax.locks import alone_in
from eartalk_jax.scaling.cells import cell_config
from eartalk_jax.scaling.points import read_points
from eartalk_jax.scaling.sweep_files import read_plan, write_plan, write_points
from eartalk_jax.scaling.sweep_reading import sweep_beside
from eartalk_jax.scaling.sweep_table import status_table
from eartalk_jax.training.skips import Diverged
from launch import sweep as launch_sweep

_CONFIG = """
from configs import scaling
from tokens import SHAPE

def get_config():
  c = scaling.get_config()
  c.tokenizer, c.data.tokens = "tokenizer", "tokens"
  c.data.frames, c.run.batch_size = 2, 8
  model, run, sweep = c.model, c.run, c.sweep
  model.latent_shape, model.patch = SHAPE, 1
  model.audio.steps = model.audio.bins = 0  # as the tokens say
  model.controls = [
    {"name": "pose", "kind": "continuous", "size": 3, "drop": 0.3},
  ]
  run.optimizer.matrices, run.optimizer.warmup_steps = "adam", 2
  run.save_every = 4
  run.ema_decay = 0.5
  sweep.held_out, sweep.windows, sweep.draws = "held_out", 16, 2
  sweep.clips = 0
  sweep.ladder.frames_per_param = 0.033
  sweep.ladder.least_steps = 8
  return c
"""


def command(root, *arguments):
  return python(root, "-m", "launch.sweep", *arguments)


def python(root, *arguments):
  here = pathlib.Path(__file__).parent
  return subprocess.run(
    [sys.executable, *map(str, arguments)],
    cwd=root,
    env=os.environ
    | {
      "JAX_PLATFORMS": "cpu",
      "PYTHONPATH": f"{here.parent}:{here}",
    },
    capture_output=True,
    text=True,
  )


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  root = tmp_path_factory.mktemp("sweep")
  tokenizer = write_tokenizer(root / "tokenizer")
  for name, frames in (("tokens", 20), ("held_out", 12)):
    lengths, made = (frames,) * 8, tokenizer.fingerprint
    write_tokens(root / name, lengths=lengths, tokenizer=made)
  (root / "tiny.py").write_text(_CONFIG)
  return root


@pytest.fixture(scope="module")
def planned(root):
  """What the command printed; its plan is in root/law."""
  flags = ["--config", "tiny.py", "--out", "law", "--budgets", "3e9,6e9"]
  flags += ["--check", "2e10", "--device", "laptop", "--peak", "5e10"]
  done = command(root, "plan", *flags)
  assert done.returncode == 0, done.stderr
  return done.stdout


@pytest.fixture
def inside(root, monkeypatch):
  monkeypatch.chdir(root)


def some_cells(sweep, directory):
  """A sweep of the two cells of one size, planned into a new directory."""
  cells = [cell for cell in sweep.cells if not cell.check]
  sizes = {
    cell.size: [c for c in cells if c.size == cell.size] for cell in cells
  }
  # The largest: fewest steps.
  mates = [mates for mates in sizes.values() if len(mates) > 1][-1]
  few = dataclasses.replace(sweep, directory=directory, cells=tuple(mates))
  write_plan(few)
  return few


def test_the_plan_is_printed_and_written(root, planned):
  sweep = read_plan(root / "law")
  assert len(sweep.cells) == 15
  for cell in sweep.cells:
    assert cell.name in planned
  for word in ("rate: ", "batch 8", "hours of 1 x laptop at 40%", "sweep run"):
    assert word in planned
  assert set(sweep.fingerprints) == {"tokens", "held_out", "tokenizer"}


def test_sizes_that_are_equally_wide_share_nothing(root, planned):
  sweep = read_plan(root / "law")
  cell = sweep.cells[0]
  deeper = dataclasses.replace(cell, depth=cell.depth + 1)
  assert sweep.trunk(cell) != sweep.trunk(deeper)
  assert cell.name.endswith(cell.shape) and cell.shape != deeper.shape


@pytest.mark.parametrize(
  "arguments, message",
  [
    (["run", "nothing"], "nothing holds no sweep"),
    (["run", "law", "--jobs", "0"], "--jobs: '0': give a whole number from 1"),
  ],
)
def test_wrong_use_is_one_line(
  planned, inside, monkeypatch, arguments, message
):
  monkeypatch.setattr(sys, "argv", ["sweep", *arguments])
  with pytest.raises(UserError, match=message):
    launch_sweep._run_or_status()


def test_a_wrong_plan_is_one_line_before_any_work(root, planned):
  plan = ["plan", "--config=tiny.py", "--out=x", "--budgets=3e9,6e9"]
  for wrong, message in (
    ("--device=h10", "did you mean h100"),
    ("--mfu=40", "--mfu 40: give a share"),
    ("--out=tokens", "is what the command reads"),
  ):
    done = command(root, *plan, wrong)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not (root / "x").exists()


def test_a_damaged_plan_is_one_line(root, planned, tmp_path):
  text = (root / "law" / "sweep.json").read_text()
  plan = json.loads(text)
  cell = plan["cells"][0]
  for damage, message in (
    (text[:-100], "not a JSON file"),
    ("[" * 100_000, "nested too deeply"),
    ("[]", "it has no cells"),
    ({"cells": []}, "it has no cells"),
    ({"cells": [3]}, "a cell named None"),
    ({"cells": [cell | {"name": "../../elsewhere"}]}, "cell named '../../else"),
    ({"cells": [cell | {"width": "96"}]}, "cells.0.width must be int"),
    ({"cells": [{"name": "a"}]}, "cells.0.budget is missing"),
    ({"version": 0}, "of version 0"),
    ({"fingerprints": {"tokens": 3}}, "a fingerprint is no text"),
    ({"machine": []}, "machine must be a dictionary"),
    ({"config": None}, "config must be dict"),
  ):
    if isinstance(damage, dict):
      damage = json.dumps(plan | damage)
    (tmp_path / "sweep.json").write_text(damage)
    with pytest.raises(UserError, match=message) as raised:
      read_plan(tmp_path)
    assert "\n" not in str(raised.value)
    assert str(tmp_path / "sweep.json") in str(raised.value)


def test_what_a_cell_left_is_read_strictly(root, planned, tmp_path):
  few = some_cells(read_plan(root / "law"), tmp_path / "few")
  path = few.folder(few.cells[0]) / "result.json"
  path.parent.mkdir(parents=True)
  sound = {"diverged": None, "loss": 1.0, "fixed_set": "a"}
  for damage in (
    "[]",
    '{"diverged": null, "loss": NaN}',
    {"loss": "low"},
    {"loss": None},
    {"loss": True},
    {"diverged": 1},
    {"fixed_set": ["a"]},
    {"samples": {"lip": "good"}},
    {"samples": [1]},
    {"error": {}},
  ):
    if isinstance(damage, dict):
      damage = json.dumps(sound | damage)
    path.write_text(damage)
    for reader in (write_points, status_table, read_sweep):
      with pytest.raises(UserError, match="result.json.*delete it and run"):
        reader(few)
  path.write_text(json.dumps(sound))
  assert "done, loss 1.00000" in status_table(few)
  assert read_sweep(few).cells[few.cells[0].name][1] == sound


def read_sweep(sweep):
  """As `launch.fit` reads it."""
  return sweep_beside(sweep.directory / "points.csv")


def test_only_one_runs_or_plans_in_a_folder(
  root, planned, inside, tmp_path, monkeypatch
):
  few = some_cells(read_plan("law"), tmp_path / "few")
  monkeypatch.setattr(sys, "argv", ["sweep", "run", str(few.directory)])
  refused = pytest.raises(UserError, match="another command is at work in")
  with alone_in(few.directory), refused:
    launch_sweep._run_or_status()
  monkeypatch.setattr(sys, "argv", ["sweep", "run", "law", "--cell", "99"])
  with pytest.raises(
    UserError, match="no cell 99: the sweep has cells 0 to 14"
  ):
    launch_sweep._run_or_status()


def test_a_sweep_runs_goes_on_and_gives_points(root, planned, inside):
  few = some_cells(read_plan("law"), pathlib.Path("few"))
  first, second = few.cells
  done = command(root, "run", "few", "--cell", 1)  # the longer one
  assert done.returncode == 0, done.stdout + done.stderr
  assert few.result(first) is None and few.result(second)["diverged"] is None
  # A partial sweep has the points of what is done, and says what is missing.
  [points, _, _] = read_points("few/points.csv")
  assert list(points.params) == [second.params]
  assert "1 of 2 cells are done" in status_table(few)
  # The other leaves the trunk where it passed; nothing is trained twice.
  done = command(root, "run", "few")
  assert done.returncode == 0, done.stdout + done.stderr
  assert "2 of 2 cells are done" in done.stdout
  log = pathlib.Path(f"few/logs/{first.shape}.txt").read_text()
  assert f"restoring step {first.branch}" in log
  assert "initialising" not in log
  results = [few.result(cell) for cell in few.cells]
  assert len({result["fixed_set"] for result in results}) == 1
  with open("few/points.csv") as file:
    rows = list(csv.DictReader(file))
  assert [float(row["loss"]) for row in rows] == [r["loss"] for r in results]
  assert {row["group"] for row in rows} == {"few"}

  # A branch has the bits of a run from scratch.
  pathlib.Path("cell.json").write_text(
    json.dumps(cell_config(few.config, first))
  )
  from_scratch = (
    "import json; from eartalk_jax.jobs.talker import train;"
    "train(json.load(open('cell.json')), 'scratch')"
  )
  done = python(root, "-c", from_scratch)
  assert done.returncode == 0, done.stderr
  _, scratch = load_ema("scratch")
  _, branch = load_ema(few.folder(first) / "run")
  for one, other in zip(
    jax.tree.leaves(scratch), jax.tree.leaves(branch), strict=True
  ):
    np.testing.assert_array_equal(one, other)


def test_what_diverged_is_marked_and_stays(planned, inside, monkeypatch):
  few = some_cells(read_plan("law"), pathlib.Path("lost"))
  first, second = few.cells

  def lose(config, workdir):
    raise Diverged("20 steps in a row were skipped")

  monkeypatch.setattr(sweep_cells, "train", lose)
  runner = sweep_cells.CellRunner(few)
  runner.run(first)
  assert "20 steps in a row" in few.result(first)["diverged"]

  found = {"loss": 2.0, "error": 0.1, "portrait": 1.5}
  monkeypatch.setattr(runner, "_train", lambda cell: None)
  monkeypatch.setattr(sweep_cells, "load_ema", lambda *unused: (1, None))
  monkeypatch.setattr(
    sweep_cells.fixed_loss, "evaluate", lambda *unused: dict(found)
  )
  runner.run(second)
  assert "above the 1.5 of who" in few.result(second)["diverged"]
  runner.run(second)  # done: stays
  write_points(few)
  fitted, diverged, _ = read_points("lost/points.csv")
  assert len(fitted) == 0 and len(diverged) == 2
  assert "2 of them diverged" in status_table(few)


def test_other_data_and_other_sets_are_refused_by_name(
  root, planned, inside, tmp_path
):
  few = some_cells(read_plan("law"), tmp_path / "few")
  changed = few.fingerprints | {"held_out": "0" * 64}
  changed = dataclasses.replace(few, fingerprints=changed)
  with pytest.raises(UserError, match="fingerprint of held_out was 0000"):
    check_data(changed)
  check_data(few)
  for cell, name in zip(few.cells, "ab", strict=True):
    few.folder(cell).mkdir(parents=True)
    result = {"fixed_set": name, "diverged": None, "loss": 1.0}
    (few.folder(cell) / "result.json").write_text(json.dumps(result))
  with pytest.raises(UserError, match="were measured on different sets"):
    write_points(few)
  (tmp_path / "few" / "trunks").mkdir()
  with pytest.raises(UserError, match="holds a sweep that has begun"):
    write_plan(dataclasses.replace(few, cells=few.cells[:1]))
