"""Where the best rate is: found, kept and shown."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from test_train import tiny_config
from tiny import Batches, init_params, loss_fn, run_config
from tokens import write_tokenizer, write_tokens

from eartalk_jax.config import from_config
from eartalk_jax.errors import UserError
from eartalk_jax.scaling import transfer, transfer_plot
from eartalk_jax.training.train_config import TrainConfig
from eartalk_jax.training.train_step import make_init, make_step
from launch import transfer as command

RATES = [0.01, 0.02, 0.04, 0.08, 0.16]


def valley(best, width=1.0):
  return [3 + width * np.log(rate / best) ** 2 for rate in RATES]


def test_the_best_rate_is_that_of_the_parabola_around_the_lowest():
  found = transfer.optimum(RATES, valley(0.033))
  assert found.rate == pytest.approx(0.033) and found.inside
  assert found.loss == min(valley(0.033))


def test_a_valley_that_was_not_crossed_says_so():
  found = transfer.optimum(RATES, valley(1.0))
  assert found.rate == 0.16 and not found.inside


def test_runs_that_diverged_are_not_the_best():
  losses = valley(0.04)
  losses[3:] = [np.nan, np.inf]
  assert transfer.optimum(RATES, losses).rate == 0.04
  assert transfer.optimum(RATES, [np.nan] * 5) is None


def test_the_summary_finds_by_which_power_the_best_rate_moves():
  widths = [32, 64, 128]
  losses = {
    "standard": [valley(0.08 * (w / 32) ** -0.6) for w in widths],
    "mup": [valley(0.08) for _ in widths],
  }
  found = transfer.summary(widths, RATES, losses)
  assert found["standard"]["drift"] == pytest.approx(-0.6)
  assert found["mup"]["drift"] == pytest.approx(0.0, abs=1e-9)
  np.testing.assert_allclose(found["mup"]["at_base_rate"], 3)
  assert found["standard"]["at_base_rate"][2] == losses["standard"][2][3]
  figure = transfer_plot.picture(widths, RATES, losses)
  left, right = figure.axes
  assert [len(axis.lines) for axis in (left, right)] == [6, 6]
  optima = [line.get_xdata()[0] for line in right.lines[1::2]]
  np.testing.assert_allclose(optima, 0.08)


def test_a_short_run_is_a_training_run_at_its_rate():
  """All that differs is that the rate is no constant of the program."""
  run = run_config(guard=dataclasses.replace(run_config().guard, sigmas=1e9))
  optimizer = dataclasses.replace(
    run.optimizer, base_width=1, base_head_width=1
  )
  shapes = jax.eval_shape(init_params, jax.random.key(0))
  halves = jax.tree.map(lambda _: 0.5, shapes)
  functions = {
    "init_params": init_params,
    "loss_fn": loss_fn,
    "multipliers": halves,
  }
  batches = [Batches().batch(number) for number in range(run.steps)]
  held_out = [Batches(seed=1).batch(0)]
  trainer = transfer.Trainer(functions, optimizer, batches, held_out)
  init_key, step_key, loss_key = jax.random.split(jax.random.key(0), 3)
  for kind, multipliers in (("standard", None), ("mup", halves)):
    config = run.optimizer if multipliers is None else optimizer
    config = dataclasses.replace(config, peak_lr=0.03)
    same = dataclasses.replace(run, optimizer=config)
    state = make_init(same, init_params, multipliers)(init_key)
    step = jax.jit(make_step(same, loss_fn, multipliers))
    for batch in batches:
      state, _ = step(state, None, batch, step_key)
    loss, _ = loss_fn(
      state.params, None, held_out[0], jax.random.fold_in(loss_key, 0)
    )
    found = trainer.run(kind, 0.03)
    assert found == pytest.approx(float(loss), rel=1e-4)
    assert trainer.run(kind, 0.003) > found * 1.001


class Stub:
  """A Trainer without training."""

  made, runs = 0, []

  def __init__(self, model, base, steps, held_out):
    Stub.made += 1
    self.width, self.base = model, base
    assert len(steps) == 4 and len(held_out) == 8
    Stub.batches = steps, held_out

  def run(self, kind, rate, seed):
    Stub.runs.append((kind, self.width, rate))
    return np.nan if rate > 0.1 else self.width * rate


def test_runs_are_done_once_and_again_when_the_settings_change(
  tmp_path, monkeypatch, capsys
):
  tokenizer = write_tokenizer(tmp_path / "tokenizer")
  write_tokens(tmp_path / "tokens", tokenizer=tokenizer.fingerprint)
  held_out = tmp_path / "held_out"
  write_tokens(held_out, (60,) * 8, tokenizer=tokenizer.fingerprint)
  config = from_config(TrainConfig, tiny_config(tmp_path))
  monkeypatch.setattr(transfer, "Trainer", Stub)
  monkeypatch.setattr(
    transfer, "parametrised", lambda recipe, cfg, optimizer, *widths: widths
  )
  Stub.made, Stub.runs = 0, []
  folder = tmp_path / "cells"
  folder.mkdir()

  def losses(config):
    rates = [0.01, 0.02, 0.2]
    return command.measure(config, held_out, [16, 32], rates, folder)

  first = losses(config)
  assert Stub.made == 2
  assert len(Stub.runs) == 3 + 6, "both forms are one at the base"
  np.testing.assert_allclose(first["mup"][1], [0.32, 0.64, np.nan])
  np.testing.assert_array_equal(first["mup"][0], first["standard"][0])
  diverged = json.loads((folder / "mup-32-0.2.json").read_text())
  assert diverged["diverged"] and diverged["loss"] is None
  np.testing.assert_array_equal(losses(config)["mup"], first["mup"])
  for damage in ('{"loss"', "[]", '{"settings": NaN}'):
    (folder / "standard-32-0.02.json").write_text(damage)
    with pytest.raises(UserError, match="standard-32-0.02.json.* delete it"):
      losses(config)
  (folder / "standard-32-0.02.json").unlink()
  losses(config)
  assert Stub.runs[9:] == [("standard", 32, 0.02)]
  run = dataclasses.replace(config.run, seed=1)
  losses(dataclasses.replace(config, run=run))
  assert len(Stub.runs) == 10 + 9
  assert "12/12 runs" in capsys.readouterr().out
  # Batches as the model takes them, judged on clips that are not trained on.
  model = dataclasses.replace(config.model, sinks=2)
  losses(dataclasses.replace(config, model=model))
  assert Stub.batches[0][0]["sink_BShwC"].shape[1] == 2
  # Latents tell their frame: only clips of the held-out set are that long.
  last = [max(b["latents_BThwC"].max() for b in of) for of in Stub.batches]
  assert last[0] < 20 < last[1]
  with pytest.raises(UserError, match="--held_out must be other clips"):
    command.measure(config, tmp_path / "tokens", [16], [1, 2, 3], folder)


@pytest.mark.parametrize(
  "sizes, last, message",
  [([16], 1e300, "--rates: peak_lr"), ([16, 17], 3, "width")],
)
def test_what_no_run_can_use_is_refused_before_any(
  tmp_path, sizes, last, message
):
  config = from_config(TrainConfig, tiny_config(tmp_path))
  with pytest.raises(UserError, match=message):
    command.measure(config, "none", sizes, [1, 2, last], tmp_path)


@pytest.mark.parametrize(
  "words", [["1e-3", "2e-3"], ["2", "1", "3"], ["0", "1", "2"], ["a", "1", "2"]]
)
def test_rates_that_are_none_are_refused(words):
  with pytest.raises(UserError, match="--rates"):
    command.parse_rates(words)
