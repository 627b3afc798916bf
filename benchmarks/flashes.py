"""Films that flash while they beep, and what of that a film still has.

A face stands still; in some frames a white square hides its mouth, and in just
these the sound is a tone. (A picture all white would be the cut to another
shot, where `launch.prepare` divides a film.) Reading a film asks nothing of
this project: its pictures and samples are where its container says.

Dimension key: T frames, S samples, Y X picture.
"""

import dataclasses
import fractions
import pathlib

import av
import numpy as np

from data_pipelines.corpus.identity import make_identity
from data_pipelines.corpus.portrait import Framing, Portrait
from data_pipelines.corpus.timing import Timing
from data_pipelines.corpus.writing import write_mp4
from eartalk_jax.spans import FPS

_RATE = 48_000
_HERTZ = 880
_WHITE = 240
# The square, in shares of rows and columns.
_PLACE = (0.6, 0.9), (0.35, 0.65)
# Frames of a flash and between two: one that is a frame off shows.
_FLASH, _PAUSE = (1, 4), (2, 6)


def flashing(rng, frames):
  """Which frames flash, bool [T]; never the first, which is the portrait."""
  light_T, frame = np.zeros(frames, bool), int(rng.integers(*_PAUSE))
  while frame < frames:
    flash = int(rng.integers(*_FLASH))
    light_T[frame : frame + flash] = True
    frame += flash + int(rng.integers(*_PAUSE))
  return light_T


def tone(light_T, rate=_RATE):
  """Sound that is a tone while it flashes, float [S]."""
  seconds_S = np.arange(len(light_T) * rate // FPS) / rate
  tone_S = 0.5 * np.sin(2 * np.pi * _HERTZ * seconds_S)
  return tone_S * np.repeat(light_T, rate // FPS)


def face(seed, size):
  """A drawn face that fills the picture, uint8 [Y X 4]."""
  person = make_identity(np.random.default_rng(seed))
  framing = Framing(size, size, (0.5, 0.47), 0.55)
  numbers = np.zeros(3), np.zeros(3), 0.0, np.zeros(2)
  emotion_E = np.eye(1, 5)[0]
  return np.asarray(Portrait(person, framing).draw(*numbers, emotion_E))


def write_flashes(path, seed, frames, size):
  """Writes one film; returns which of its frames flash."""
  light_T = flashing(np.random.default_rng(seed), frames)
  dark_YX4 = face(seed, size)
  white_YX4 = dark_YX4.copy()
  white_YX4[_place(dark_YX4)] = _WHITE
  rate = fractions.Fraction(FPS)
  timing = Timing(np.arange(frames), 1 / rate, rate, frames / FPS)
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  pictures = [white_YX4 if light else dark_YX4 for light in light_T]
  write_mp4(path, pictures, (size, size), timing, tone(light_T)[None], _RATE)
  return light_T


def _place(picture_YX):
  """The square's rows and columns, as two slices."""
  return tuple(
    slice(*(round(share * side) for share in shares))
    for shares, side in zip(_PLACE, picture_YX.shape, strict=False)
  )


@dataclasses.dataclass(frozen=True)
class Reading:
  """What a film shows and sounds like.

  Attributes:
    light_T: which frames flash.
    beeping_T: in which of them the middle of the sound is a tone.
    apart_ms: between the beginnings of each flash and of the nearest tone.
  """

  light_T: np.ndarray
  beeping_T: np.ndarray
  apart_ms: np.ndarray

  @property
  def same(self):
    """Share of the frames that flash if and only if they beep."""
    return float(np.mean(self.light_T == self.beeping_T))

  def __str__(self):
    worst = self.apart_ms.max(initial=0)
    return (
      f"{self.light_T.sum()} of {len(self.light_T)} frames flash, "
      f"{self.same:.1%} agree with the sound, {len(self.apart_ms)} flashes "
      f"begin at most {worst:.0f} ms from their tone"
    )


def read(path):
  """The Reading of a film that has at least one flash.

  Frame 0 is left out: a video tokenizer keeps it, a talker is given it.
  """
  seconds_T, grey_T = _pictures(path)
  start, rate, samples_S = _sound(path)
  light_T = grey_T > (grey_T.min() + grey_T.max()) / 2
  # The louder of each sample and those within a period.
  period = rate // _HERTZ + 1
  loud_S = np.abs(samples_S) > 0.1
  near_S = np.convolve(loud_S, np.ones(period), "same") > 0
  middle_T = ((seconds_T + 0.5 / FPS - start) * rate).astype(int)
  beeping_T = near_S[np.clip(middle_T, 0, len(near_S) - 1)]
  flashes = seconds_T[_begins(light_T)]
  beeps = start + (_begins(near_S) + period // 2) / rate
  apart_ms = np.array(
    [
      1000 * (beeps - flash)[np.abs(beeps - flash).argmin()]
      for flash in flashes
    ]
    if len(beeps)
    else np.full(len(flashes), np.inf)
  )
  return Reading(light_T[1:], beeping_T[1:], apart_ms)


def _begins(is_T):
  """Numbers of those that are and whose forerunner is not."""
  return np.flatnonzero(is_T[1:] & ~is_T[:-1]) + 1


def _pictures(path):
  """(when each is shown in seconds, how bright its square is)."""
  with av.open(str(path)) as film:
    frames = [
      (float(frame.time), frame.to_ndarray(format="gray"))
      for frame in film.decode(video=0)
    ]
  pairs = [(time, grey_YX[_place(grey_YX)].mean()) for time, grey_YX in frames]
  return tuple(np.array(pairs).T)


def _sound(path):
  """(when it begins in seconds, rate, samples)."""
  with av.open(str(path)) as film:
    frames = list(film.decode(audio=0))
    rate = film.streams.audio[0].rate
  parts = [np.atleast_2d(frame.to_ndarray()).mean(0) for frame in frames]
  return float(frames[0].time), rate, np.concatenate(parts)
