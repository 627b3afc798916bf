"""A random window of a clip, with a sink from elsewhere and things left out.

Dimension key: T frames, S sink frames, K width of a control, F audio features,
h, w, C latent grid and channels.
"""

import dataclasses
from typing import Any

import grain
import numpy as np

from eartalk_jax.models.signals import Signal, Signals
from eartalk_jax.speech.mel import frame_context

# Share of windows in which nothing is known of the portrait but its picture.
_UNKNOWN_SINK = 0.05


@dataclasses.dataclass(frozen=True)
class Cut(grain.transforms.RandomMap):
  """Clip record, generator -> ((clip id, first frame), sample).

  Attributes:
    frames: length of the window.
    controls: things with name and drop.
    audio: a thing with past, ahead and drop.
    sinks: S.
  """

  frames: int
  controls: tuple
  audio: Any
  sinks: int = 1

  def random_map(self, element, rng):
    """Cuts one window; see `TalkerBatches.iterate` for what it holds."""
    clip = element
    length = len(clip["latents"])
    start = int(rng.integers(length - self.frames + 1))
    window = slice(start, start + self.frames)
    sink = sink_frame(length, start, self.frames, rng)
    audio_given_T = keep(self.frames, self.audio.drop, rng)
    audio_TF = self._audio(clip["mel"], start)
    sample = {
      "latents_BThwC": clip["latents"][window].astype(np.float32),
      "signals": Signals(
        _known(audio_TF, audio_given_T),
        {
          control.name: self._control(clip, control, window, rng)
          for control in self.controls
        },
      ),
      "portrait": self._portrait(clip, sink, rng),
    }
    more = [
      sink_frame(length, start, self.frames, rng) for _ in range(self.sinks - 1)
    ]
    sample["sink_BShwC"] = clip["latents"][[sink, *more]].astype(np.float32)
    return (clip["clip_id"], start), sample

  def _audio(self, mel_TAF, start):
    """Context reaches out of the window, and is silent outside of the clip."""
    first = max(start - self.audio.past, 0)
    last = start + self.frames + self.audio.ahead
    context_TF = frame_context(
      mel_TAF[first:last], self.audio.past, self.audio.ahead
    )
    return context_TF[start - first :][: self.frames]

  def _portrait(self, clip, sink, rng):
    """Its controls; often unknown, as those of a photograph are."""
    known = rng.random() >= _UNKNOWN_SINK
    controls = {}
    for control in self.controls:
      given = np.bool_(known and clip[f"has/{control.name}"])
      value_K = clip[f"tracks/{control.name}"][sink]
      controls[control.name] = _known(value_K, given)
    silent = _known(np.zeros(0, np.float32), np.bool_(False))
    return Signals(silent, controls)

  def _control(self, clip, control, window, rng):
    given_T = keep(self.frames, control.drop, rng)
    given_T &= bool(clip[f"has/{control.name}"])
    return _known(clip[f"tracks/{control.name}"][window], given_T)


def _known(value, given):
  """A Signal whose numbers are zero where it is not given."""
  return Signal(np.where(given[..., None], value, np.float32(0)), given)


def sink_frame(length, start, frames, rng):
  """A random frame outside of the window; any, if the window is the clip."""
  outside = length - frames
  if not outside:
    return int(rng.integers(length))
  frame = int(rng.integers(outside))
  return frame if frame < start else frame + frames


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
