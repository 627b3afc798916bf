"""Who is seen: everything about a person and a scene that a clip keeps.

Lengths are in head units: 1 is half the height of the face.
"""

import colorsys
import dataclasses

import numpy as np

HAIR_STYLES = (
  "short",
  "side_part",
  "bangs",
  "bob",
  "long",
  "curly",
  "bun",
  "buzz",
  "swept",
  "afro",
)
CLOTHES = ("crew", "collar", "v_neck", "hoodie", "turtleneck", "suit")
_SKINS = (
  (0.99, 0.86, 0.76),
  (0.97, 0.80, 0.68),
  (0.94, 0.75, 0.61),
  (0.89, 0.68, 0.52),
  (0.82, 0.60, 0.44),
  (0.73, 0.51, 0.36),
  (0.62, 0.42, 0.30),
  (0.52, 0.35, 0.25),
)
_HAIRS = (
  (0.13, 0.11, 0.12),
  (0.24, 0.16, 0.12),
  (0.38, 0.24, 0.15),
  (0.52, 0.34, 0.19),
  (0.78, 0.60, 0.34),
  (0.88, 0.74, 0.50),
  (0.60, 0.27, 0.14),
  (0.62, 0.61, 0.62),
)
_IRISES = (
  (0.30, 0.19, 0.11),
  (0.42, 0.27, 0.14),
  (0.28, 0.42, 0.28),
  (0.25, 0.45, 0.62),
  (0.38, 0.46, 0.52),
)


@dataclasses.dataclass(frozen=True)
class Identity:
  """A person, how they are lit and what is behind them."""

  skin: tuple[float, float, float]
  lips: tuple[float, float, float]
  hair: tuple[float, float, float]
  iris: tuple[float, float, float]
  cloth: tuple[float, float, float]
  accent: tuple[float, float, float]
  backdrop: tuple[tuple[float, float, float], tuple[float, float, float]]
  light: tuple[float, float, float]
  hair_style: str
  clothes: str
  width: float
  jaw: float
  chin: float
  eye_gap: float
  eye_level: float
  eye_width: float
  eye_height: float
  eye_tilt: float
  brow_weight: float
  brow_level: float
  nose_width: float
  nose_level: float
  mouth_level: float
  mouth_width: float
  lip_fullness: float
  shoulders: float
  freckles: bool
  stubble: float
  glasses: bool
  earrings: bool
  side: int
  bokeh: int


def mix(a, b, share):
  """Colour between `a` (share 0) and `b` (share 1)."""
  return tuple((1 - share) * x + share * y for x, y in zip(a, b, strict=True))


def _hsv(hue, saturation, value):
  return colorsys.hsv_to_rgb(hue % 1.0, saturation, value)


def _near(rng, colour, spread=0.025):
  shifted = np.clip(np.array(colour) + rng.normal(0, spread, 3), 0.05, 1)
  return tuple(float(c) for c in shifted)


def _pick(rng, choices):
  return choices[rng.integers(len(choices))]


def _colours(rng):
  skin = _near(rng, _SKINS[rng.integers(len(_SKINS))])
  hue = rng.random()
  back_hue = hue + rng.uniform(0.3, 0.7)
  rose = _near(rng, (0.72, 0.22, 0.28), 0.05)
  bright = rng.uniform(0.55, 0.92)
  soft = rng.uniform(0.12, 0.42)
  return {
    "skin": skin,
    "lips": mix(tuple(0.86 * c for c in skin), rose, rng.uniform(0.5, 0.75)),
    "hair": _near(rng, _pick(rng, _HAIRS)),
    "iris": _near(rng, _pick(rng, _IRISES)),
    "cloth": _hsv(hue, rng.uniform(0.25, 0.7), rng.uniform(0.3, 0.85)),
    "accent": _hsv(hue + rng.uniform(0.1, 0.6), 0.25, rng.uniform(0.75, 0.98)),
    "backdrop": (
      _hsv(back_hue, soft, bright),
      _hsv(back_hue + rng.uniform(-0.1, 0.1), soft + 0.12, 0.6 * bright),
    ),
  }


def make_identity(rng):
  """Draws a person; no two draws are alike."""
  turn = rng.uniform(-0.7, 0.7)
  style = _pick(rng, HAIR_STYLES)
  beard = style in ("short", "side_part", "buzz", "swept", "afro")
  return Identity(
    **_colours(rng),
    light=(float(np.sin(turn)), rng.uniform(0.3, 0.6), float(np.cos(turn))),
    hair_style=style,
    clothes=_pick(rng, CLOTHES),
    width=rng.uniform(0.74, 0.84),
    jaw=rng.uniform(0.72, 0.9),
    chin=rng.uniform(0.26, 0.4),
    eye_gap=rng.uniform(0.32, 0.37),
    eye_level=rng.uniform(0.06, 0.13),
    eye_width=rng.uniform(0.185, 0.22),
    eye_height=rng.uniform(0.105, 0.135),
    eye_tilt=rng.uniform(-0.03, 0.04),
    brow_weight=rng.uniform(0.04, 0.075),
    brow_level=rng.uniform(0.23, 0.28),
    nose_width=rng.uniform(0.13, 0.19),
    nose_level=rng.uniform(-0.25, -0.2),
    mouth_level=rng.uniform(-0.56, -0.52),
    mouth_width=rng.uniform(0.27, 0.32),
    lip_fullness=rng.uniform(0.055, 0.085),
    shoulders=rng.uniform(1.35, 1.7),
    freckles=bool(rng.random() < 0.15),
    stubble=float(rng.uniform(0.1, 0.3) * (beard and rng.random() < 0.5)),
    glasses=bool(rng.random() < 0.12),
    earrings=bool(not beard and rng.random() < 0.4),
    side=int(rng.choice([-1, 1])),
    bokeh=int(rng.integers(2**31)),
  )
