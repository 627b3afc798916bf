"""Skipped steps: said, written to WORKDIR/skipped.jsonl, and counted.

  {"step", "reason", "loss", "loss_limit", "grad_norm", "grad_norm_limit",
   "samples"}

Steps are numbered as in metrics.jsonl: the first is 1. `samples` names the
whole batch, of all processes, where the batches can tell. What is not finite
is null.
"""

import math
import pathlib

import jax

from eartalk_jax.errors import UserError
from eartalk_jax.telemetry.metrics import append_line, drop_after

NOT_FINITE, LOSS, GRADIENT = "not finite", "loss spike", "gradient spike"


class Diverged(UserError):
  """A run is lost: too many of its steps in a row could not be taken."""


class SkipLog:
  """Reads what steps say of themselves; stops a run that takes none."""

  def __init__(self, guard, batches, workdir, step):
    """Goes on after `step` steps.

    Args:
      guard: GuardConfig.
      batches: `.batch_ids(step)` names the samples, where there is such.
      workdir: of the run.
      step: lines beyond it, of a run that was killed, are dropped.
    """
    self._streak, self._in_a_row = guard.streak, 0
    self._batches = batches
    self._path = None
    if jax.process_index() == 0:
      self._path = pathlib.Path(workdir) / "skipped.jsonl"
      drop_after(self._path, step)

  def read(self, step, metrics):
    """Takes the metrics of a step; returns what a person should know, or None.

    Raises:
      Diverged: the streak is full.
    """
    if not metrics["skipped"]:
      self._in_a_row = 0
      return None
    self._in_a_row += 1
    reason = _reason(metrics)
    values = {
      "loss": metrics["loss"],
      "loss_limit": metrics["loss_limit"],
      "grad_norm": metrics["grad_norm"],
      "grad_norm_limit": metrics["grad_norm_limit"],
    }
    if self._path is not None:
      samples = self._samples(step)
      append_line(self._path, step, {"reason": reason} | values | samples)
    if self._in_a_row >= self._streak:
      raise Diverged(_lost(step, self._streak, reason, values))
    return f"step {step} skipped: {reason}; {_numbers(values)}"

  def _samples(self, step):
    names = getattr(self._batches, "batch_ids", None)
    # Batch number 0 made step 1.
    return {} if names is None else {"samples": names(step - 1)}


def _reason(metrics):
  if not math.isfinite(metrics["loss"] + metrics["grad_norm"]):
    return NOT_FINITE
  return LOSS if metrics["loss"] > metrics["loss_limit"] else GRADIENT


def _numbers(values):
  return ", ".join(f"{name} {value:.4g}" for name, value in values.items())


def _lost(step, streak, reason, values):
  if reason == NOT_FINITE:
    remedy = "lower peak_lr or look for bad data"
  else:
    remedy = (
      "if this level is there to stay, set run.guard.sigmas higher or to 0 "
      "(off) and run the same command; if not, lower peak_lr or look for bad "
      "data, and start again"
    )
  return (
    f"{streak} steps in a row were skipped, up to step {step}, the last for: "
    f"{reason} ({_numbers(values)}); {remedy}. skipped.jsonl names their "
    "samples; the last checkpoint holds the last good parameters"
  )
