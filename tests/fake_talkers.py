"""Faces and generators so simple that every figure is known beforehand.

A picture is one colour, the identity, with squares on it: one as bright as the
mouth is open, two as bright as the head is turned to their side, one for the
emotion. The speech's samples are the opening.
"""

import types

import numpy as np

from eartalk_jax.evaluation.held_out import load_clips
from eartalk_jax.models.probe import ProbeConfig
from eartalk_jax.models.signals import by_span
from eartalk_jax.spans import FRAME_SAMPLES

SIZE = 16
MOUTH = (slice(10, 15), slice(4, 12))
LEFT = (slice(1, 5), slice(4, 8))
RIGHT = (slice(1, 5), slice(8, 12))
EMOTION = (slice(5, 9), slice(0, 4))
CONTROLS = tuple(
  types.SimpleNamespace(name=name, kind=kind, size=size)
  for name, kind, size in (
    ("pose", "continuous", 3),
    ("emotion", "categorical", 3),
  )
)
MANIFEST = {
  "config": {"size": SIZE},
  "track_sizes": {"mouth": 3, "pose": 3, "emotion": 1},
  "categories": {"emotion": ["neutral", "happy", "sad"]},
}


def draw(identity_YX3, mouth, yaw, emotion):
  """One picture of somebody whose any picture is `identity_YX3`."""
  picture_YX3 = identity_YX3.copy()
  picture_YX3[MOUTH] = np.uint8(255 * np.clip(mouth, 0, 1))
  yaw = np.clip(yaw, -1, 1)
  picture_YX3[LEFT] = np.uint8(127 * (1 + yaw))
  picture_YX3[RIGHT] = np.uint8(127 * (1 - yaw))
  picture_YX3[EMOTION] = np.uint8(100 * emotion)
  return picture_YX3


def records(count, frames=60, seed=0, has=True):
  """Records as a frames dataset has them."""
  rng = np.random.default_rng(seed)
  return [_record(rng, index, frames, has) for index in range(count)]


def _record(rng, index, frames, has):
  mouth_TK = rng.uniform(0, 1, (frames, 3)).astype(np.float32)
  pose_TK = rng.uniform(-1, 1, (frames, 3)).astype(np.float32)
  emotion_TK = np.full((frames, 1), index % 3, np.float32)
  if index % 2:
    emotion_TK[frames // 2 :] = (index + 1) % 3
  audio_S = np.repeat(32767 * mouth_TK[:, 0], FRAME_SAMPLES).astype(np.int16)
  identity_YX3 = np.zeros((SIZE, SIZE, 3), np.uint8)
  corner = 255 * np.array([index & 1, index & 2, index & 4], bool)
  identity_YX3[:] = np.clip(corner + rng.integers(-60, 60, 3), 0, 255)
  drawn = zip(mouth_TK, pose_TK, emotion_TK, strict=True)
  pictures = [draw(identity_YX3, m[0], p[0], e[0]) for m, p, e in drawn]
  tracks = {"mouth": mouth_TK, "pose": pose_TK, "emotion": emotion_TK}
  return (
    {
      "clip_id": f"clip {index}",
      "frames": np.stack(pictures),
      "audio": audio_S,
    }
    | {f"tracks/{name}": value for name, value in tracks.items()}
    | {f"has/{name}": has for name in tracks}
  )


def clips(count, frames=60):
  return load_clips(
    records(count, frames), Loudness(), MANIFEST["track_sizes"], count, 50, 0
  )


class Loudness:
  """A speech encoder: the first number is the first sample of a frame."""

  shape, before, after, step = (4, 2), 0, 0, None
  params = {}
  silence_AF = np.zeros((4, 2), np.float32)

  def apply(self, params, samples_BS):
    samples_Bt = samples_BS[:, ::FRAME_SAMPLES]
    features_BtAF = np.zeros((*samples_Bt.shape, *self.shape), np.float32)
    features_BtAF[..., 0, 0] = samples_Bt
    return features_BtAF


class Plain:
  """A tokenizer whose latents are the pictures."""

  params, stride, delay = {}, 1, 0
  picture_shape, latent_shape = (SIZE, SIZE), (SIZE, SIZE, 3)

  def encode_portrait(self, params, picture_BYX3):
    return picture_BYX3

  def init_encode(self, params, portrait_BYX3):
    return (), portrait_BYX3

  def encode_step(self, params, state, frames_BsYX3):
    return state, frames_BsYX3[:, 0]

  def init_decode(self, params, portrait_BYX3, portrait_BhwC):
    return ()

  def decode_step(self, params, state, latent_BhwC):
    return state, latent_BhwC[:, None]


class Pixels:
  """A probe that reads the squares without error."""

  config = ProbeConfig(
    size=SIZE, tracks=(("mouth", 3), ("pose", 3)), classes=(("emotion", 3),)
  )

  def read(self, frames_TYX3):
    def square(place):
      return frames_TYX3[:, *place].mean((1, 2, 3)) / 255

    zero_T = np.zeros(len(frames_TYX3))
    return {
      "mouth": np.stack([square(MOUTH), zero_T, zero_T], 1),
      "pose": np.stack([square(LEFT), zero_T, zero_T], 1),
      "emotion": np.round(square(EMOTION) * 2.55)[:, None],
    }


class FakeGenerator:
  """Draws what it hears and is told; or keeps still; or does not listen."""

  config = types.SimpleNamespace(controls=CONTROLS)
  tokenizer = Plain()
  size = SIZE
  speech = Loudness()
  categories = MANIFEST["categories"]

  def __init__(self, kind="oracle"):
    self.kind = kind
    self.calls = []

  def sampling(self, **settings):
    self.settings = settings
    return self

  def generate(
    self,
    portraits_BYX3,
    features_BTAF,
    controls=None,
    given=None,
    portrait_controls=None,
    seeds=None,
    guidance=None,
    chunk=25,
  ):
    self.portrait_controls = portrait_controls
    if portraits_BYX3.ndim == 5:
      portraits_BYX3 = portraits_BYX3[:, 0]
    self.calls.append((controls, given, seeds, guidance))
    pieces = (
      [features_BTAF] if hasattr(features_BTAF, "shape") else features_BTAF
    )
    if not callable(controls):
      controls = by_span(controls or {}, given or {})
    start = 0
    for piece_BTAF in pieces:
      for at in range(0, piece_BTAF.shape[1], chunk):
        part_BTAF = piece_BTAF[:, at : at + chunk]
        asked, _ = controls(start, start + part_BTAF.shape[1])
        yield self._chunk(portraits_BYX3, part_BTAF, asked, start)
        start += part_BTAF.shape[1]

  def _chunk(self, portraits_BYX3, features_BTAF, controls, start):
    rng = np.random.default_rng(start)
    rows, frames = features_BTAF.shape[:2]
    still_BTYX3 = np.repeat(portraits_BYX3[:, None], frames, 1)
    if self.kind == "frozen":
      return still_BTYX3
    deaf = self.kind == "deaf"
    zeros = np.zeros((rows, frames, 3))
    pose = controls.get("pose", zeros)
    emotion = controls.get("emotion", zeros)
    return np.stack(
      [
        [
          draw(
            portraits_BYX3[row],
            rng.uniform() if deaf else features_BTAF[row, t, 0, 0],
            pose[row, t, 0],
            emotion[row, t, 0],
          )
          for t in range(frames)
        ]
        for row in range(rows)
      ]
    )
