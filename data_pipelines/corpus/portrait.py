"""One picture of one person: all parts in the order of painting.

Dimension key: Y rows, X columns.
"""

import dataclasses

import numpy as np

from data_pipelines.corpus import features, hair, neck
from data_pipelines.corpus.backdrop import make_backdrop
from data_pipelines.corpus.canvas import (
  Canvas,
  circle,
  closed_curve,
  open_curve,
)
from data_pipelines.corpus.clothes import make_clothes
from data_pipelines.corpus.geometry import HeadPose
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


def make_framing(rng):
  """Draws a picture size and a place for the head."""
  sizes = ((160, 160), (176, 176), (192, 160), (160, 192), (176, 160))
  width, height = sizes[rng.integers(len(sizes))]
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
    self._skin = Skin(person)
    self._canvas = Canvas(framing.width, framing.height)
    self._backdrop = make_backdrop(person, framing.width, framing.height)
    self._middle = (
      framing.middle[0] * framing.width,
      (1 - framing.middle[1]) * framing.height,
    )
    self._scale = framing.face * framing.height / 2.08
    self._body = HeadPose((0, 0, 0), self._middle, self._scale)
    self._clothes = make_clothes(
      person, self._body, framing.width, framing.height
    )

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
    hair.draw_back_hair(canvas, head, person)
    neck.draw_neck(canvas, head, self._body, person)
    canvas.paste(self._clothes)
    neck.draw_ears(canvas, head, person)
    blush = 0.4 + 0.35 * max(face.smile, 0) / 0.13
    self._skin.draw(canvas, head, mouth_3[0], blush)
    if person.freckles:
      self._draw_freckles(head)
    features.draw_eyes(canvas, head, person, face, blink, gaze_2)
    features.draw_nose(canvas, head, person)
    features.draw_mouth(canvas, head, person, face, mouth_3)
    hair.draw_front_hair(canvas, head, person)
    features.draw_brows(canvas, head, person, face)
    if person.glasses:
      self._draw_glasses(head)
    return canvas.picture()

  def _draw_freckles(self, head):
    dark = tuple(0.72 * c for c in self._person.skin)
    rng = np.random.default_rng(self._person.bokeh)
    middles = rng.uniform([-0.55, -0.3], [0.55, -0.05], (14, 1, 2))
    spots = closed_curve(head.face(circle(8) * 0.02 + middles))
    self._canvas.fill(spots, (*dark, 0.6))

  def _draw_glasses(self, head):
    canvas = self._canvas
    frame = (0.3, 0.22, 0.2, 0.75)
    width = 0.028 * head.scale
    y = self._person.eye_level - 0.01
    sides_211 = np.array([-1.0, 1.0]).reshape(2, 1, 1)
    middle = sides_211 * [self._person.eye_gap, 0] + [0, y]
    rings = closed_curve(head.face(circle() * [0.29, 0.25] + middle, 0.12))
    canvas.fill(rings, (1, 1, 1, 0.06))
    canvas.stroke(np.concatenate([rings, rings[:, :1]], axis=1), width, frame)
    arm = sides_211 * [1, 0] * [(0.63, 0), (0.82, 0)]
    arm = arm + [(0, y + 0.05), (0, y + 0.08)]
    canvas.stroke(head.face(arm, 0.05), width, frame)
    bridge = np.array([(-0.09, y + 0.03), (0, y + 0.07), (0.09, y + 0.03)])
    canvas.stroke(open_curve(head.face(bridge, 0.16)), width, frame)
