"""FLOP/s for any device, a percentage only where the peak is known."""

import re
import time
import types

import pytest
from tiny import run_config, train

from eartalk_jax.telemetry.events import EventLog
from eartalk_jax.telemetry.metrics import read_metrics
from eartalk_jax.telemetry.utilization import Utilization, rates_text
from eartalk_jax.training.step_log import StepLog


def test_a_known_chip_has_both_mfus_by_the_definition():
  work = Utilization(459e12 * 4, 8, "TPU v5p")
  rates = work.rates(steps=10, seconds=20, wait=5)
  assert rates["flops_per_second_per_device"] == pytest.approx(459e12 / 4)
  assert rates["mfu"] == pytest.approx(0.25)
  assert rates["mfu_without_wait"] == pytest.approx(0.25 * 20 / 15)
  assert rates_text(rates) == "  115 TFLOP/s a device  MFU 25.0%"
  assert "8 x 4.59e+14 FLOP/s (Google Cloud" in work.text


def test_an_unknown_device_has_no_percentage():
  work = Utilization(2e9, 4, "abacus")
  assert work.rates(1, 2, 0) == {"flops_per_second_per_device": 2.5e8}
  assert "%" not in rates_text(work.rates(1, 2, 0))
  assert "4 x abacus, whose peak is not known: no MFU" in work.text


def test_a_run_tells_its_flops_where_they_are_known(tmp_path, capsys):
  train(tmp_path / "with", run_config(steps=4), flops_per_step=8e6)
  out = capsys.readouterr().out
  assert "8e+06 model FLOPs a step" in out and "FLOP/s a device" in out
  assert not re.search(r"MFU \d", out), "a CPU has no known peak"
  for line in read_metrics(tmp_path / "with"):
    # Nothing was evaluated or saved in between: the same steps and seconds.
    assert line["flops_per_second_per_device"] == pytest.approx(
      1e6 * line["steps_per_second"], rel=1e-6
    )
  train(tmp_path / "without", run_config(steps=4))
  assert "FLOP" not in capsys.readouterr().out


def test_saving_and_evaluating_lower_no_rate(tmp_path):
  lines = []
  quiet = types.SimpleNamespace(
    begin=lambda: None,
    update=lambda *unused: None,
    write=lambda step, line: lines.append(line),
    read=lambda step, metrics: None,
  )
  metrics = {"loss": 1.0, "skipped": 0.0, "skipped_total": 0.0}
  metrics |= {"loss_limit": 2.0, "grad_norm_limit": 2.0}
  work = Utilization(1.0, 1, "abacus")
  with EventLog(tmp_path, process=0) as events:
    log = StepLog(run_config(log_every=1), quiet, quiet, events, quiet, work)
    log.begin()
    with log.aside("checkpoint"):
      time.sleep(0.5)
    log.push(1, dict(metrics))
    log.flush()
  (line,) = lines
  assert line["steps_per_second"] > 4
  assert line["flops_per_second_per_device"] == line["steps_per_second"]
