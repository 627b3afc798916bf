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
OUTFITS = (
  "crew",
  "striped",
  "collar",
  "v_neck",
  "hoodie",
  "turtleneck",
  "suit",
)
_SKINS = (
  (0.99, 0.86, 0.76),
  (0.97, 0.80, 0.68),
  (0.94, 0.75, 0.61),
  (0.89, 0.68, 0.52),
  (0.82, 0.60, 0.44),
  (0.75, 0.53, 0.39),
  (0.66, 0.46, 0.33),
  (0.58, 0.40, 0.29),
)
_DEEP_SKINS = 3
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
  beard: float
  glasses: bool
  earrings: bool
  side: int
  bokeh: int


def mix(a, b, share):
  """Colour between `a` (share 0) and `b` (share 1)."""
  return tuple((1 - share) * x + share * y for x, y in zip(a, b, strict=True))


def _hsv(hue, saturation, value):
  return colorsys.hsv_to_rgb(hue % 1.0, saturation, value)


def _near(rng, colour, spread=0.06):
  """A lighter or darker, slightly warmer or cooler neighbour of a colour."""
  warm = rng.normal(0, 0.3 * spread) * np.array([1.0, 0.2, -1.0])
  shifted = np.array(colour) * (1 + rng.normal(0, spread) + warm)
  return tuple(float(c) for c in shifted.clip(0.05, 1))


def _pick(rng, choices):
  return choices[rng.integers(len(choices))]


def _colours(rng, made_up):
  tone = rng.integers(len(_SKINS))
  skin = _near(rng, _SKINS[tone])
  # Fair hair on deep skin hides the brows, for people and detectors alike.
  hairs = _HAIRS[:3] if tone >= len(_SKINS) - _DEEP_SKINS else _HAIRS
  hue = rng.random()
  back_hue = hue + rng.uniform(0.3, 0.7)
  rose = _near(rng, (0.72, 0.22, 0.28), 0.1)
  bright = rng.uniform(0.55, 0.92)
  soft = rng.uniform(0.12, 0.42)
  lipstick = rng.uniform(0.5, 0.75) if made_up else rng.uniform(0.3, 0.5)
  return {
    "skin": skin,
    "lips": mix(tuple(0.86 * c for c in skin), rose, lipstick),
    "hair": _near(rng, _pick(rng, hairs)),
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
  man = style in ("short", "side_part", "buzz", "swept", "afro")
  return Identity(
    **_colours(rng, made_up=not man),
    light=(float(np.sin(turn)), rng.uniform(0.3, 0.6), float(np.cos(turn))),
    hair_style=style,
    clothes=_pick(rng, OUTFITS),
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
    shoulders=rng.uniform(1.4, 1.75),
    freckles=bool(rng.random() < 0.15),
    beard=float(rng.uniform(0.25, 0.75) * (man and rng.random() < 0.45)),
    glasses=bool(rng.random() < 0.08),
    earrings=bool(not man and rng.random() < 0.4),
    side=int(rng.choice([-1, 1])),
    bokeh=int(rng.integers(2**31)),
  )
