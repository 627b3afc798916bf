"""What frames are told, as the model takes it, from a user's arrays.

  {"audio": [... F], "audio_given": [...],
   "controls": {name: {"value": [... K], "given": [...]}}}

Dimension key: leading ... is [B] or [B t]; B streams, T frames (t of a span), K
size of a control, F audio features.
"""

import numpy as np

from eartalk_jax.config import nearest
from eartalk_jax.controls.requests import SCALES, columns, range_of
from eartalk_jax.errors import UserError

# What is measured may go beyond full scale; degrees go far beyond.
_BEYOND = 2.0


def by_span(controls, given):
  """A function that reads whole tracks a span at a time.

  Args:
    controls, given: {name: value_BTK} and {name: given_BT}.

  Returns:
    (start, stop) -> the same of the frames start <= t < stop.
  """

  def span(start, stop):
    def cut(x_BT):
      x_BT = np.asarray(x_BT)
      return x_BT[:, start:stop] if x_BT.ndim > 1 else x_BT

    return (
      {name: cut(x_BTK) for name, x_BTK in controls.items()},
      {name: cut(x_BT) for name, x_BT in given.items()},
    )

  return span


def conditions(config, lead, values=(), given=(), audio=None):
  """What is known of frames or portraits; the rest is not given.

  Args:
    config: a TalkerConfig.
    lead: [B] or [B, t].
    values: {name: numbers [... K]}; a category is its index, K = 1.
    given: {name: bool [...]}; True everywhere for names it leaves out.
    audio: [... F] float32.

  Raises:
    UserError: an unknown control, arrays that do not fit, numbers that are not
      finite or beyond all scale.
  """
  values, given = dict(values), dict(given)
  specs = {spec.name: spec for spec in config.controls}
  for name in {**values, **given}:
    if name not in specs:
      raise UserError(f"unknown control {name!r}; {nearest(str(name), specs)}")
  hears = audio is not None
  if not hears:
    audio = np.zeros((*lead, config.audio.features), np.float32)
  return {
    "audio": audio,
    "audio_given": np.full(lead, hears),
    "controls": {
      name: _control(spec, lead, values.get(name), given.get(name))
      for name, spec in specs.items()
    },
  }


def _control(spec, lead, value, given):
  """One control: {"value": [... K], "given": [...]}."""
  shape = (*lead, columns(spec))
  if value is None:
    return {"value": np.zeros(shape, np.float32), "given": np.zeros(lead, bool)}
  given = np.ones(lead, bool) if given is None else np.asarray(given)
  if given.shape != lead or given.dtype != bool:
    raise UserError(
      f"control {spec.name!r} is given where {given.dtype}{list(given.shape)} "
      f"says; bool{list(lead)} is needed"
    )
  value = _fitting(spec, lead, value)
  _check_numbers(spec, value[given])
  return {"value": np.where(given[..., None], value, 0), "given": given}


def _fitting(spec, lead, value):
  """A control's values as float32 [... K]."""
  size = columns(spec)
  try:
    value = np.asarray(value, np.float32)
    shape = value.shape
  except (TypeError, ValueError):
    shape = "of no array of numbers"
  if shape != (*lead, size):
    frames = f" of {lead[1]} frames" if len(lead) > 1 else ""
    raise UserError(
      f"control {spec.name!r} has shape {shape}; {lead[0]} streams{frames} of "
      f"{size} numbers are needed"
    )
  return value


def _check_numbers(spec, value):
  """Raises UserError for numbers that a control cannot have."""
  if not np.isfinite(value).all():
    raise UserError(f"control {spec.name!r} holds NaN or infinite numbers")
  if spec.kind == "categorical":
    whole = value == np.round(value)
    if not (whole & (value >= 0) & (value < spec.size)).all():
      raise UserError(
        f"control {spec.name!r} holds what is no index of its {spec.size} "
        "categories; they are counted from 0"
      )
  elif spec.name in SCALES:
    _, full = range_of(spec.name)
    most = np.abs(value).max(initial=0)
    if most > _BEYOND * full:
      raise UserError(
        f"control {spec.name!r} holds {most:g}; {SCALES[spec.name]}"
      )
