"""Every figure of an evaluation or of a run: its words, unit, digits and aim.

Pages choose which figures they show; what a figure is called, how it is
rounded, which way is better and what it has to reach stands here, or beside
the metric that brings it (see `evaluation.metrics`).
"""

import dataclasses
from typing import Literal

# Suffix of a figure's name in metrics.json -> the videos that it is read off.
KINDS = {
  "": "generated",
  "_ceiling": "real video",
  "_tokenizer": "encoded and decoded",
  "_copy_baseline": "still portrait",
}
# What of metrics.json is no figure: {figure: number of clips or a reason}.
NOTES = ("clips_counted", "not_measured")


@dataclasses.dataclass(frozen=True)
class Target:
  """What a figure has to reach, from the side that is better.

  Attributes:
    bound: a number, or the share of another figure.
    of: the name of that other figure in metrics.json, or None.
  """

  bound: float
  of: str | None = None


@dataclasses.dataclass(frozen=True)
class Figure:
  """A number that is told of a model or a run.

  Attributes:
    key: its name in metrics.json, for generated video.
    label: what it is, in words.
    unit: of what it is a number, "" for pure ones.
    digits: shown after the point.
    better: which way, or None if neither is.
    target: what the demo has to reach, or None.
  """

  key: str
  label: str
  unit: str = ""
  digits: int = 2
  better: Literal["more", "less"] | None = "more"
  target: Target | None = None

  def __post_init__(self):
    if self.target is not None and self.better is None:
      raise ValueError(f"figure {self.key!r} has a target, but no direction")

  @property
  def heading(self):
    """Label and unit."""
    return f"{self.label}, {self.unit}" if self.unit else self.label

  def text(self, value, finer=0):
    """A value in as many digits, or `finer` more; a dash for None."""
    return "–" if value is None else f"{value:.{self.digits + finer}f}"


# Correlations are with the truth; 1 is all.
_OF_VIDEOS = (
  Figure(
    "tokenizer_psnr_db",
    "tokenizer PSNR, held out",
    "dB",
    digits=1,
    target=Target(28),
  ),
  Figure("tokenizer_ssim", "tokenizer SSIM"),
  Figure("lip", "lip correlation, own speech", target=Target(0.80)),
  Figure("lip_width", "lip width"),
  Figure("lip_round", "lip rounding"),
  Figure(
    "lip_wrong_audio_own",
    "other speech against the own mouth",
    better="less",
    target=Target(0.2),
  ),
  Figure(
    "lip_wrong_audio_driving",
    "other speech against its mouth",
    target=Target(0.7),
  ),
  Figure("lip_first_tenth", "lip, first tenth of a long stream"),
  Figure(
    "lip_last_tenth",
    "lip, last tenth of a long stream",
    target=Target(0.9, of="lip_first_tenth"),
  ),
  Figure("yaw", "yaw", target=Target(0.90)),
  Figure("pitch", "pitch", target=Target(0.90)),
  Figure("roll", "roll"),
  Figure("blink", "blink", target=Target(0.70)),
  Figure("gaze_x", "gaze, sideways"),
  Figure("gaze_y", "gaze, up and down"),
  Figure("emotion", "emotion recognised"),
  # Not of all frames: most people keep the portrait's, and so does a picture.
  Figure(
    "emotion_changed",
    "emotion unlike the portrait's",
    target=Target(0.6, of="emotion_changed_ceiling"),
  ),
  Figure("own_portrait_nearest", "own portrait nearest", target=Target(0.95)),
  Figure("psnr_db", "PSNR to real", "dB", digits=1),
  Figure("motion_ratio", "motion over real", better=None),
)
_COUNTS = (
  Figure("clips", "clips", digits=0, better=None),
  Figure("frames", "frames", digits=0, better=None),
  Figure("long_streams", "long streams", digits=0, better=None),
  Figure("long_stream_frames", "frames of each", digits=0, better=None),
)
_COSTS = (
  Figure("train_seconds", "training", "s", digits=0, better=None),
  Figure("frame_ms", "frame", "ms", digits=1, better=None),
  Figure(
    "wall_seconds",
    "time in all",
    "s",
    digits=0,
    better="less",
    target=Target(1200),
  ),
  Figure(
    "peak_rss_gb",
    "peak memory",
    "GB",
    digits=1,
    better="less",
    target=Target(8),
  ),
)
FIGURES = {f.key: f for f in (*_OF_VIDEOS, *_COUNTS, *_COSTS)}
# What says nothing of a video.
BESIDE = frozenset(f.key for f in (*_COUNTS, *_COSTS))


def figure_of(key):
  """The figure of that name; one with its name for a label if it is unknown."""
  return FIGURES.get(key) or Figure(key, key)


def chosen(*keys):
  """Those figures for a page, {key: Figure}."""
  return {key: FIGURES[key] for key in keys}


def name_of(key, kind):
  """A figure's name in metrics.json for a kind of video; None if it has none.

  A figure that is called after a kind, as tokenizer_ssim, is of that kind only.
  """
  for other in KINDS:
    if other and key.startswith(f"{other[1:]}_"):
      return key if other == kind else None
  return key + kind
