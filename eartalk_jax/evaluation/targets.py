"""What the demo has to reach, figure by figure."""

import dataclasses

from eartalk_jax.documents import read_shaped
from eartalk_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Target:
  """A bound on one figure of metrics.json.

  Attributes:
    key: the figure.
    label: what it is, in words.
    bound: a number, or the share of another figure.
    of: that other figure, or None.
    at_most: whether the bound is an upper one.
    digits: shown after the point.
  """

  key: str
  label: str
  bound: float
  of: str | None = None
  at_most: bool = False
  digits: int = 2


@dataclasses.dataclass(frozen=True)
class Verdict:
  """A target and what was measured; `passed` is None if nothing was."""

  target: Target
  value: float | None
  bound: float | None
  passed: bool | None

  @property
  def needed(self):
    """The bound in words."""
    sign = "≤" if self.target.at_most else "≥"
    if self.bound is None:
      return f"{sign} {self.target.bound:g} x {self.target.of}"
    return f"{sign} {self.bound:.{self.target.digits}f}"

  @property
  def measured(self):
    """The figure in words."""
    if self.value is None:
      return "not measured"
    return f"{self.value:.{self.target.digits}f}"

  @property
  def mark(self):
    """pass, FAIL or a dash."""
    return {True: "pass", False: "FAIL", None: "-"}[self.passed]


TARGETS = (
  Target("tokenizer_psnr_db", "tokenizer PSNR, held out (dB)", 28),
  Target("lip", "lip correlation, own speech", 0.80),
  Target(
    "lip_wrong_audio_own",
    "other speech: against the own mouth",
    0.2,
    at_most=True,
  ),
  Target("lip_wrong_audio_driving", "other speech: against its mouth", 0.7),
  Target("yaw", "yaw follows its control", 0.90),
  Target("pitch", "pitch follows its control", 0.90),
  Target("blink", "blink follows its control", 0.70),
  # Not of all frames: most people keep the portrait's, and so does a picture.
  Target(
    "emotion_changed",
    "emotion recognised where it is not the portrait's",
    0.6,
    of="emotion_changed_ceiling",
  ),
  Target("own_portrait_nearest", "own portrait nearest", 0.95),
  Target(
    "lip_last_tenth",
    "lip in a long stream's last tenth",
    0.9,
    of="lip_first_tenth",
  ),
  Target("wall_seconds", "seconds in all", 1200, at_most=True, digits=0),
  Target("peak_rss_gb", "peak memory (GB)", 8, at_most=True, digits=1),
)


def read_figures(path):
  """What `launch.evaluate` wrote to metrics.json: {figure: number or None}.

  Raises:
    UserError: it is not there, or damaged.
  """
  remedy = "python -m launch.evaluate writes it"
  figures = read_shaped(path, dict, remedy)
  for name, value in figures.items():
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (number or value is None or name == "clips_counted"):
      raise UserError(f"{path}: {name} is no number; {remedy}")
  return figures


def judge(metrics):
  """The verdict on every target, in order."""
  return [_judge(target, metrics) for target in TARGETS]


def _judge(target, metrics):
  value, bound = metrics.get(target.key), target.bound
  if target.of is not None:
    whole = metrics.get(target.of)
    bound = None if whole is None else target.bound * whole
  if value is None or bound is None:
    return Verdict(target, value, bound, None)
  passed = value <= bound if target.at_most else value >= bound
  return Verdict(target, value, bound, passed)
