"""Training curves, drawn from the metrics of a run."""

import math

import numpy as np
from matplotlib import pyplot as plt

from eartalk_jax.plotting import OURS, QUIET, STYLE, TRUTH, WRONG

_COLOURS = (OURS, WRONG, TRUTH, "#7c3aed", "#be123c", QUIET)


def draw_curves(lines, title):
  """Loss, and what else the run logged of its diagnostics, over steps.

  Args:
    lines: dictionaries as `metrics.read_metrics` gives them.
    title: of the figure.

  Returns:
    A matplotlib figure, or None if there is nothing to draw.
  """
  if not lines:
    return None
  listens = sorted({k for line in lines for k in line if "listens/" in k})
  with plt.rc_context(STYLE):
    columns = 2 if listens else 1
    figure, axes = plt.subplots(
      1, columns, figsize=(5.2 * columns, 2.8), squeeze=False
    )
    _draw(axes[0][0], lines, ["loss"], log=True)
    axes[0][0].set_title(f"{title}: loss", loc="left", fontsize=11)
    if listens:
      _draw(axes[0][1], lines, listens)
      axes[0][1].set_title(
        "loss increase when a signal is another clip's", loc="left", fontsize=11
      )
      axes[0][1].legend(fontsize=8)
    figure.tight_layout()
  return figure


def _draw(axis, lines, names, log=False):
  for name, colour in zip(names, _COLOURS, strict=False):
    points = [
      (line["step"], line[name])
      for line in lines
      if isinstance(line.get(name), (int, float)) and math.isfinite(line[name])
    ]
    if points:
      steps, values = np.array(points).T
      label = name.removeprefix("listens/")
      axis.plot(steps, values, color=colour, lw=1.5, label=label)
  axis.set_xlabel("step")
  if log:
    axis.set_yscale("log")
