"""What the demo has to reach, figure by figure."""

import dataclasses

from eartalk_jax.documents import read_shaped
from eartalk_jax.errors import UserError
from eartalk_jax.evaluation.figures import NOTES, Figure
from eartalk_jax.evaluation.metrics import all_figures


@dataclasses.dataclass(frozen=True)
class Verdict:
  """A figure, what it was and had to be; `passed` is None if nothing was."""

  figure: Figure
  value: float | None
  bound: float | None
  passed: bool | None

  @property
  def needed(self):
    """The bound in words."""
    sign = "≤" if self.figure.better == "less" else "≥"
    if self.bound is None:
      target = self.figure.target
      return f"{sign} {target.bound:g} x {target.of}"
    return f"{sign} {self.figure.text(self.bound)}"

  @property
  def measured(self):
    """The figure in words."""
    if self.value is None:
      return "not measured"
    return self.figure.text(self.value)

  @property
  def mark(self):
    """pass, FAIL or a dash."""
    return {True: "pass", False: "FAIL", None: "-"}[self.passed]


def read_figures(path):
  """What `launch.evaluate` wrote to metrics.json: {figure: number or None}.

  Raises:
    UserError: it is not there, or damaged.
  """
  remedy = "python -m launch.evaluate writes it"
  figures = read_shaped(path, dict, remedy)
  for name, value in figures.items():
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (number or value is None or name in NOTES):
      raise UserError(f"{path}: {name} is no number; {remedy}")
  return figures


def judge(metrics):
  """The verdict on every figure that has a target, in order."""
  figures = all_figures().values()
  return [_judge(f, metrics) for f in figures if f.target is not None]


def _judge(figure, metrics):
  target = figure.target
  value, bound = metrics.get(figure.key), target.bound
  if target.of is not None:
    whole = metrics.get(target.of)
    bound = None if whole is None else target.bound * whole
  if value is None or bound is None:
    return Verdict(figure, value, bound, None)
  passed = value <= bound if figure.better == "less" else value >= bound
  return Verdict(figure, value, bound, passed)
