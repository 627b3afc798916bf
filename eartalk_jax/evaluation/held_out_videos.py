"""The videos that an evaluation looks at.

Dimension key:  T frames, n chosen frames, ..YX3 pictures.
"""

import dataclasses

import numpy as np

from eartalk_jax.counting import counting
from eartalk_jax.evaluation import rollouts
from eartalk_jax.tokenizers.coding import round_trip

_LONG_STREAMS = 6
_SHORTEST_LONG = 400
_STRIP_CLIPS = 3
_STRIP_FRAMES = 8


@dataclasses.dataclass(frozen=True)
class Videos:
  """Everything that was made for an evaluation; lists go by clip.

  Attributes:
    decoded: the real frames, encoded and decoded.
    own: generated with the own speech.
    wrong: generated with another clip's speech; of the first half of clips.
    streams: the long streams' orders and truth.
    long: the long streams, generated.
  """

  decoded: list
  own: list
  wrong: list
  streams: list
  long: list


def make_videos(
  generator, clips, seed, training_frames, long_streams=_LONG_STREAMS
):
  """Generates all videos of an evaluation.

  Args:
    generator: see `eartalk_jax.generate`.
    clips: see `held_out.load_clips`.
    seed: of the noise.
    training_frames: length of a training window; the long streams are ten
      times as long, or longer.
    long_streams: how many of those, at most.
  """
  with counting("tokenizer", len(clips), "clips") as advance:
    decoded = []
    for clip in clips:
      frames_1TYX3 = clip.frames_TYX3[None]
      decoded.append(round_trip(generator.tokenizer, frames_1TYX3)[0])
      advance()
  own = rollouts.own_orders(generator, clips)
  wrong = rollouts.wrong_audio_orders(generator, clips)
  # One batch for both: they are independent streams.
  both = rollouts.generate(generator, own + wrong, seed, "held-out clips")
  length = max(10 * training_frames, _SHORTEST_LONG)
  streams = rollouts.long_streams(generator, clips, length, long_streams)
  orders = [stream.order for stream in streams]
  long = []
  if orders:
    long = rollouts.generate(generator, orders, seed, "long streams")
  return Videos(decoded, both[: len(own)], both[len(own) :], streams, long)


def strip_pictures(clips, videos):
  """Some frames of some clips for the eye, {"strip_...": [clips, n, Y, X, 3]}.

  Clips are spread evenly over those that were given another's speech, too;
  frames are spread evenly over the shortest of them.
  """
  last = len(videos.wrong) - 1
  chosen = np.linspace(0, last, min(_STRIP_CLIPS, last + 1))
  chosen = np.unique(chosen.astype(int))
  shortest = min(len(videos.wrong[index]) for index in chosen)
  times = np.linspace(0, shortest - 1, min(_STRIP_FRAMES, shortest)).astype(int)
  kinds = {
    "real": [clip.frames_TYX3 for clip in clips],
    "decoded": videos.decoded,
    "own": videos.own,
    "wrong": videos.wrong,
  }
  pictures = {
    f"strip_{name}": np.stack([kind[index][times] for index in chosen])
    for name, kind in kinds.items()
  }
  portraits = np.stack([clips[index].portrait_YX3 for index in chosen])
  return pictures | {"strip_portrait": portraits}
