"""A random window of a clip, with a sink from elsewhere and things left out.

Dimension key: T latents of a window, R portraits of a clip, S sink frames, K
numbers of a control, F audio features, h, w, C latent grid and channels.
"""

import dataclasses
from typing import Any

import grain
import numpy as np

from eartalk_jax.models.signals import Signal, Signals
from eartalk_jax.spans import first_made, frames_of
from eartalk_jax.speech.contexts import Reach

# Share of windows in which nothing is known of the portrait but its picture.
_UNKNOWN_SINK = 0.05


@dataclasses.dataclass(frozen=True)
class Cut(grain.transforms.RandomMap):
  """Clip record, generator -> ((clip id, first latent), sample).

  Attributes:
    latents: length of the window.
    controls: things with name and drop.
    audio: a thing with drop.
    sinks: S.
    reach: what a latent hears.
  """

  latents: int
  controls: tuple
  audio: Any
  sinks: int
  reach: Reach

  def random_map(self, element, rng):
    """Cuts one window; see `TalkerBatches.iterate` for what it holds."""
    clip, stride, count = element, self.reach.stride, self.latents
    first = first_made(stride)
    start = first + int(rng.integers(len(clip["latents"]) - first - count + 1))
    window = slice(start, start + count)
    shown = slice(
      frames_of(start, stride).start, frames_of(start + count - 1, stride).stop
    )
    # Where a latent is a frame, each can be a portrait.
    portraits_RhwC = clip.get("portraits", clip["latents"])
    frames_R = clip.get("portrait_frames", np.arange(len(portraits_RhwC)))
    sink = sink_portrait(frames_R, shown, rng)
    audio_given_T = keep(count, self.audio.drop, rng)
    audio_TF = self.reach.contexts(
      clip["features"], range(start, start + count)
    )
    sample = {
      "latents_BThwC": clip["latents"][window].astype(np.float32),
      "signals": Signals(
        _known(audio_TF, audio_given_T),
        {
          control.name: self._control(clip, control, shown, rng)
          for control in self.controls
        },
      ),
      "portrait": self._portrait(clip, frames_R[sink], rng),
    }
    more = [sink_portrait(frames_R, shown, rng) for _ in range(self.sinks - 1)]
    sample["sink_BShwC"] = portraits_RhwC[[sink, *more]].astype(np.float32)
    return (clip["clip_id"], start), sample

  def _portrait(self, clip, frame, rng):
    """Its controls; often unknown, as those of a photograph are."""
    known = rng.random() >= _UNKNOWN_SINK
    controls = {}
    for control in self.controls:
      given = np.bool_(known and clip[f"has/{control.name}"])
      value_K = np.tile(
        clip[f"tracks/{control.name}"][frame], self.reach.stride
      )
      controls[control.name] = _known(value_K, given)
    silent = _known(np.zeros(0, np.float32), np.bool_(False))
    return Signals(silent, controls)

  def _control(self, clip, control, shown, rng):
    given_T = keep(self.latents, control.drop, rng)
    given_T &= bool(clip[f"has/{control.name}"])
    track_TK = clip[f"tracks/{control.name}"][shown]
    return _known(track_TK.reshape(self.latents, -1), given_T)


def _known(value, given):
  """A Signal whose numbers are zero where it is not given."""
  return Signal(np.where(given[..., None], value, np.float32(0)), given)


def sink_portrait(frames_R, shown, rng):
  """Number of a random portrait outside of a window; any, if none is.

  Args:
    frames_R: of which frames the portraits are.
    shown: the window's frames, a slice.
    rng: a generator.
  """
  outside = (frames_R < shown.start) | (frames_R >= shown.stop)
  numbers = np.flatnonzero(outside)
  if not len(numbers):
    return int(rng.integers(len(frames_R)))
  return int(numbers[rng.integers(len(numbers))])


def keep(frames, drop, rng):
  """Which frames are given, bool [T].

  With probability `drop` something is missing: half of the time everything,
  else one span of random length.
  """
  given_T = np.ones(frames, bool)
  if rng.random() < drop:
    span = frames if rng.random() < 0.5 else int(rng.integers(1, frames + 1))
    first = int(rng.integers(frames - span + 1))
    given_T[first : first + span] = False
  return given_T
