"""One picture of one person: all parts in the order of painting.

Dimension key: Y rows, X columns.
"""

import dataclasses

import numpy as np

from data_pipelines.corpus import features
from data_pipelines.corpus.backdrop import make_backdrop
from data_pipelines.corpus.canvas import Canvas
from data_pipelines.corpus.clothes import make_clothes
from data_pipelines.corpus.geometry import HeadPose
from data_pipelines.corpus.hair import Hair
from data_pipelines.corpus.neck import Ears, Glasses, Neck
from data_pipelines.corpus.nose import Nose
from data_pipelines.corpus.skin import Skin


@dataclasses.dataclass(frozen=True)
class Framing:
  """Picture size in pixels and where the head is in it.

  middle is the face's middle as shares of width and height, from the upper
  left; face is the face's height as a share of the picture's.
  """

  width: int
  height: int
  middle: tuple[float, float]
  face: float


def make_framing(rng, scale=1):
  """Draws a picture size, so many times as large, and a place for the head."""
  sizes = ((160, 160), (176, 176), (192, 160), (160, 192), (176, 160))
  width, height = np.multiply(scale, sizes[rng.integers(len(sizes))]).tolist()
  return Framing(
    width,
    height,
    middle=(rng.uniform(0.44, 0.56), rng.uniform(0.44, 0.5)),
    face=rng.uniform(0.48, 0.58) * min(1, width / height),
  )


class Portrait:
  """Draws one person in one framing, frame after frame."""

  def __init__(self, person, framing):
    self._person = person
    self._canvas = Canvas(framing.width, framing.height)
    self._backdrop = make_backdrop(person, framing.width, framing.height)
    self._middle = (
      framing.middle[0] * framing.width,
      (1 - framing.middle[1]) * framing.height,
    )
    self._scale = framing.face * framing.height / 2.08
    body = HeadPose((0, 0, 0), self._middle, self._scale)
    self._clothes = make_clothes(person, body, framing.width, framing.height)
    self._skin, self._nose, self._hair = (
      Skin(person),
      Nose(person),
      Hair(person),
    )
    self._neck, self._ears = Neck(person, body), Ears(person)
    self._glasses = Glasses(person) if person.glasses else None

  def draw(self, mouth_3, pose_3, blink, gaze_2, emotion_E):
    """Paints one frame.

    Args:
      mouth_3: open, width, round in [0, 1].
      pose_3: yaw, pitch, roll in [-1, 1].
      blink: 0 open eyes, 1 shut.
      gaze_2: x, y in [-1, 1].
      emotion_E: weights of `motion.EMOTIONS`.

    Returns:
      uint8 [Y X 4]; overwritten by the next call.
    """
    person, canvas = self._person, self._canvas
    head = HeadPose(pose_3, self._middle, self._scale)
    face = features.blend_expression(np.asarray(emotion_E))
    canvas.start(self._backdrop)
    self._hair.draw_back(canvas, head)
    self._neck.draw(canvas, head)
    canvas.paste(self._clothes)
    self._ears.draw(canvas, head)
    blush = 0.4 + 0.35 * max(face.smile, 0) / 0.13
    self._skin.draw(canvas, head, mouth_3[0], blush)
    features.draw_eyes(canvas, head, person, face, blink, gaze_2)
    self._nose.draw(canvas, head)
    features.draw_mouth(canvas, head, person, face, mouth_3)
    self._hair.draw_front(canvas, head)
    features.draw_brows(canvas, head, person, face)
    if self._glasses:
      self._glasses.draw(canvas, head)
    return canvas.picture()
