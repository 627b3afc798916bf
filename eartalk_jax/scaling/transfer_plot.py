"""Loss against learning rate, a curve for each width, two parametrisations."""

import numpy as np
from matplotlib import pyplot as plt

from eartalk_jax import plotting
from eartalk_jax.plotting import STYLE
from eartalk_jax.scaling.coordinates import KINDS, TITLES
from eartalk_jax.scaling.transfer import optimum

# How far above the lowest loss the picture goes, in spans of the optima.
_ABOVE = 6


def draw(widths, rates, losses, path):
  """Draws losses {kind: [widths, rates]} as a PNG file."""
  with plt.rc_context(STYLE):
    plotting.save(path, picture(widths, rates, losses))


def picture(widths, rates, losses):
  """A panel for each parametrisation; a dot at each curve's optimum."""
  figure, axes = plt.subplots(1, len(KINDS), figsize=(11, 4), sharey=True)
  lows, rows = [], [losses[kind] for kind in KINDS]
  for axis, kind in zip(axes, KINDS, strict=True):
    for index, (width, row) in enumerate(
      zip(widths, losses[kind], strict=True)
    ):
      shade = plt.get_cmap("viridis")(0.9 * (1 - index / (len(widths) - 1)))
      row = np.where(np.isfinite(row), row, np.nan)
      axis.plot(rates, row, color=shade, marker=".", lw=1.4, label=f"{width}")
      best = optimum(rates, row)
      if best:
        lows.append(best.loss)
        axis.plot(best.rate, best.loss, "o", color=shade, ms=9, mfc="none")
    axis.set_title(f"{TITLES[kind]} parametrisation", loc="left", fontsize=11)
    axis.set_xscale("log")
    axis.set_xticks(rates, [f"{rate:g}" for rate in rates])
    axis.minorticks_off()
    axis.set_xlabel("peak learning rate")
  if lows:
    span = max(max(lows) - min(lows), 0.02 * min(lows))
    highest = max(np.nanmax(np.where(np.isfinite(x), x, np.nan)) for x in rows)
    top = min(max(lows) + _ABOVE * span, highest + 0.5 * span)
    axes[0].set_ylim(min(lows) - 0.5 * span, top)
  axes[0].set_ylabel("held-out loss")
  axes[-1].legend(title="width", fontsize=9)
  figure.tight_layout()
  return figure
