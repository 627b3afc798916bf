"""The tracks of a face that are known by name, and what their numbers mean.

A control is made of the track of its name. The demo's corpus is drawn in the
units of this table; truth of your own videos belongs in the same ones. Tracks
of other names are as welcome, but nobody knows them in a mirror.

Dimension key:  T frames, K numbers of a track.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Track:
  """What is known of a track; tuples go by number.

  Attributes:
    numbers: what they are called.
    figures: the figure of an evaluation that tells how each is followed.
    units: what the corpus draws them in, and in which direction.
    full: how many of its unit 1.0 is.
    mirror: the sign of each in a mirror.
    idle: how far a face that nobody asks moves each, as a share of full scale.
    classes: whether it is the index of a class, which has no range.
    range: (lowest, highest) number that may be asked for.
    hint: of tracks that are often given in other units, what 1 is.
  """

  numbers: tuple[str, ...] = ()
  figures: tuple[str, ...] = ()
  units: tuple[str, ...] = ()
  full: tuple[float, ...] = ()
  mirror: tuple[int, ...] = ()
  idle: tuple[float, ...] = ()
  classes: bool = False
  range: tuple[float, float] = (-1.0, 1.0)
  hint: str = ""


TRACKS = {
  "mouth": Track(
    numbers=("opening", "width", "rounding"),
    figures=("lip", "lip_width", "lip_round"),
    # A face is about 2 head units high.
    units=("head units apart", "of its width wider", "of its width narrower"),
    full=(0.4, 0.4, 0.36),
    mirror=(1, 1, 1),
    idle=(0.0, 0.0, 0.0),
  ),
  "pose": Track(
    numbers=("yaw", "pitch", "roll"),
    figures=("yaw", "pitch", "roll"),
    units=("degrees to the picture's right", "degrees up", "degrees clockwise"),
    full=(18.0, 14.0, 9.0),
    mirror=(-1, 1, -1),
    idle=(0.12, 0.08, 0.05),
    hint="1 is as far as heads turn; degrees?",
  ),
  "blink": Track(
    numbers=("shut",),
    figures=("blink",),
    units=("of the way to shut eyes",),
    full=(1.0,),
    mirror=(1,),
    idle=(1.0,),
    range=(0.0, 1.0),
  ),
  "gaze": Track(
    numbers=("x", "y"),
    figures=("gaze_x", "gaze_y"),
    units=(
      "of half the eye's width to the picture's right",
      "of the iris' radius up",
    ),
    full=(0.48, 0.4),
    mirror=(-1, 1),
    idle=(0.35, 0.2),
    hint="1 is as far as eyes turn; degrees?",
  ),
  "emotion": Track(
    numbers=("class",),
    figures=("emotion",),
    units=("index",),
    full=(1.0,),
    mirror=(1,),
    idle=(0.0,),
    classes=True,
  ),
}
_STRANGE = Track()


def track_of(name):
  """The Track of that name; one of which nothing is known if it is none."""
  return TRACKS.get(name, _STRANGE)


def figure_names(name, size):
  """What the figures of a continuous track of `size` numbers are called."""
  names = track_of(name).figures
  if len(names) == size:
    return names
  return tuple(f"{name}_{column}" for column in range(size))


def without_mirror(sizes):
  """Which of the tracks {name: K} nobody knows in a mirror."""
  return [
    name for name, size in sizes.items() if len(track_of(name).mirror) != size
  ]


def mirrored(name, track_TK):
  """A track of the mirrored pictures, float32."""
  return track_TK * np.asarray(TRACKS[name].mirror, np.float32)
