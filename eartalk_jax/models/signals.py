"""What frames are told, as loader, model, streams and guidance all have it.

Dimension key: leading ... is [B T] of clips, [B] of portraits or of a stream's
frame; B clips or streams, T frames (t of a span), K numbers of a control, F
audio features.
"""

from __future__ import annotations

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from eartalk_jax.config import nearest
from eartalk_jax.controls.known import track_of
from eartalk_jax.controls.requests import columns
from eartalk_jax.errors import UserError

# What is measured may go beyond full scale; degrees go far beyond.
_BEYOND = 2.0


@flax.struct.dataclass
class Signal:
  """One of them: `value` [..., K], `given` [...] bool; else the model decides.

  A category is its index, K = 1. Of the speech, K is F.
  """

  value: jax.Array
  given: jax.Array

  def hidden(self, rows=slice(None)):
    """The same where some rows are not given."""
    given = jnp.asarray(self.given).at[rows].set(False)
    return self.replace(given=given)


@flax.struct.dataclass
class Signals:
  """All of them: the speech and {name of a control: Signal}.

  Portraits do not speak: the F of their audio is 0.
  """

  audio: Signal
  controls: dict[str, Signal]

  @classmethod
  def blank(cls, config, lead, hears=True):
    """Nothing is given; numpy arrays, which can be filled in.

    Args:
      config: TalkerConfig.
      lead: shape of the leading axes.
      hears: False for portraits.
    """

    def signal(size):
      return Signal(np.zeros((*lead, size), np.float32), np.zeros(lead, bool))

    return cls(
      signal(config.heard if hears else 0),
      {spec.name: signal(config.columns(spec)) for spec in config.controls},
    )

  def __getitem__(self, name):
    """The signal "audio", or a control's."""
    return self.audio if name == "audio" else self.controls[name]

  def put(self, name, signal):
    """All of them with another one in the place of `name`."""
    if name == "audio":
      return self.replace(audio=signal)
    return self.replace(controls={**self.controls, name: signal})

  def at(self, frame):
    """Those of one frame of clips, [B ...]."""
    return jax.tree.map(lambda x_BT: x_BT[:, frame], self)

  def by_latent(self, stride, latents):
    """The controls of frames, [B T], as those of latents, [B t].

    A control that is given in some frames of a latent keeps its nearest value
    in the others. Frames that are missing at the end are not given.

    Args:
      stride: frames of a latent.
      latents: t.
    """
    place_s = np.arange(stride)
    away_ss = np.abs(place_s[:, None] - place_s)

    def join(signal):
      rows, frames = signal.given.shape
      missing = latents * stride - frames
      value = np.pad(signal.value, ((0, 0), (0, missing), (0, 0)))
      given = np.pad(signal.given, ((0, 0), (0, missing)))
      value = value.reshape(rows, latents, stride, -1)
      given = given.reshape(rows, latents, stride)
      nearest = np.where(given[..., None, :], away_ss, stride).argmin(-1)
      value = np.take_along_axis(value, nearest[..., None], axis=2)
      return Signal(value.reshape(rows, latents, -1), given.any(-1))

    return self.replace(controls={k: join(v) for k, v in self.controls.items()})

  def of_all_frames(self, stride):
    """The controls of portraits, [B K], as a latent has them, [B s*K]."""

    def repeat(signal):
      return signal.replace(value=np.tile(signal.value, stride))

    return self.replace(
      controls={k: repeat(v) for k, v in self.controls.items()}
    )

  def fill(self, place, values):
    """Gives {control: numbers} at one place of the numpy arrays."""
    for name, value_K in values.items():
      self.controls[name].value[place] = value_K
      self.controls[name].given[place] = True


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


def of_arrays(config, lead, values=(), given=()):
  """The controls of frames or portraits; the rest is not given.

  Args:
    config: a TalkerConfig.
    lead: [B] or [B, t].
    values: {name: numbers [... K]}; a category is its index, K = 1.
    given: {name: bool [...]}; True everywhere for names it leaves out.

  Returns:
    Signals without audio.

  Raises:
    UserError: an unknown control, arrays that do not fit, numbers that are not
      finite or beyond all scale.
  """
  values, given = dict(values), dict(given)
  specs = {spec.name: spec for spec in config.controls}
  for name in {**values, **given}:
    if name not in specs:
      raise UserError(f"unknown control {name!r}; {nearest(str(name), specs)}")
  controls = {
    name: _control(spec, lead, values.get(name), given.get(name))
    for name, spec in specs.items()
  }
  silent = Signal(np.zeros((*lead, 0), np.float32), np.zeros(lead, bool))
  return Signals(silent, controls)


def _control(spec, lead, value, given):
  """One control's Signal."""
  if value is None:
    nothing = np.zeros((*lead, columns(spec)), np.float32)
    return Signal(nothing, np.zeros(lead, bool))
  given = np.ones(lead, bool) if given is None else np.asarray(given)
  if given.shape != lead or given.dtype != bool:
    raise UserError(
      f"control {spec.name!r} is given where {given.dtype}{list(given.shape)} "
      f"says; bool{list(lead)} is needed"
    )
  value = _fitting(spec, lead, value)
  _check_numbers(spec, value[given])
  return Signal(np.where(given[..., None], value, 0), given)


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
  elif hint := track_of(spec.name).hint:
    _, full = track_of(spec.name).range
    most = np.abs(value).max(initial=0)
    if most > _BEYOND * full:
      raise UserError(f"control {spec.name!r} holds {most:g}; {hint}")
