"""What the tracks of a face are in a mirror.

Dimension key:  T frames, K numbers of a track.
"""

import numpy as np

# How each number of a track changes.
_SIGNS = {
  "mouth": (1, 1, 1),
  "pose": (-1, 1, -1),
  "blink": (1,),
  "gaze": (-1, 1),
  "emotion": (1,),
}


def unknown(sizes):
  """Which of the tracks {name: K} no sign is known for."""
  return [
    name for name, size in sizes.items() if len(_SIGNS.get(name, ())) != size
  ]


def mirrored(name, track_TK):
  """A track of the mirrored pictures, float32."""
  return track_TK * np.asarray(_SIGNS[name], np.float32)
