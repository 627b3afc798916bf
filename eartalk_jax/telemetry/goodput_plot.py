"""A run's time as a picture: what it was spent on, and the steps it made."""

import numpy as np
from matplotlib import pyplot as plt

from eartalk_jax import plotting
from eartalk_jax.plotting import STYLE

_COLOURS = {
  "step": "#0f766e",
  "data wait": "#a855f7",
  "eval": "#7dd3fc",
  "checkpoint": "#3b82f6",
  "profile": "#f0abfc",
  "initialise": "#fde68a",
  "restore": "#fbbf24",
  "first batch": "#fb923c",
  "compile": "#a16207",
  "wasted": "#b42318",
  "down": "#e2e8f0",
  "unaccounted": "#1f2933",
}
_OTHER = "#94a3b8"
_UNITS = ((2 * 86400, 86400, "days"), (7200, 3600, "hours"), (300, 60, "min"))
_BINS = 400


def draw(found, path):
  """Draws a Goodput as a PNG file: shares over time, and steps below."""
  with plt.rc_context(STYLE):
    plotting.save(path, picture(found))


def picture(found):
  """The matplotlib figure of a Goodput."""
  figure, (above, below) = plt.subplots(
    2, 1, figsize=(11, 5), sharex=True, height_ratios=(2, 1)
  )
  unit, name = next(
    ((size, name) for least, size, name in _UNITS if found.wall >= least),
    (1, "seconds"),
  )
  _shares(above, found, unit)
  _steps(below, found, unit)
  above.set_title(
    f"goodput {found.goodput:.1%} of {found.wall / unit:.3g} {name}, "
    f"{len(found.attempts)} attempt{'s' * (len(found.attempts) > 1)}, "
    f"{found.wasted_steps} steps done twice",
    loc="left",
    fontsize=11,
  )
  below.set_xlabel(f"{name} since the first start")
  below.set_xlim(0, found.wall / unit)
  figure.tight_layout()
  return figure


def seconds_over_time(found, bins):
  """Seconds of each bucket in equal pieces of the wall time: {name: [bins]}."""
  edges = found.attempts[0].begin + np.linspace(0, found.wall, bins + 1)
  ends = np.array([interval.end for interval in found.intervals])
  lengths = ends - [interval.begin for interval in found.intervals]
  names = np.array([interval.bucket for interval in found.intervals])
  seconds = {}
  for name in (name for name, total in found.buckets.items() if total):
    # The intervals touch, so what a bucket has so far is linear in between.
    so_far = np.cumsum(np.where(names == name, lengths, 0))
    times = np.concatenate([edges[:1], ends])
    values = np.concatenate([[0], so_far])
    seconds[name] = np.diff(np.interp(edges, times, values))
  return seconds


def _shares(axis, found, unit):
  seconds = seconds_over_time(found, _BINS)
  width = found.wall / _BINS
  lefts = np.arange(_BINS) * width / unit
  bottom = np.zeros(_BINS)
  order = [*_COLOURS, *(name for name in seconds if name not in _COLOURS)]
  for name in (name for name in order if name in seconds):
    share = seconds[name] / width
    axis.bar(
      lefts,
      share,
      width / unit,
      bottom,
      align="edge",
      color=_COLOURS.get(name, _OTHER),
      label=f"{name}  {found.buckets[name] / found.wall:.1%}",
      linewidth=0,
    )
    bottom += share
  axis.set_ylim(0, 1)
  axis.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
  axis.set_ylabel("share of the time")
  axis.grid(False)
  # Upside down, so that the names stand in the order of the stack.
  axis.legend(
    loc="upper left", bbox_to_anchor=(1.01, 1.03), fontsize=9, reverse=True
  )


def _steps(axis, found, unit):
  start = found.attempts[0].begin
  for bucket in ("step", "wasted"):
    pieces = [
      ((i.begin - start) / unit, (i.end - start) / unit, i.first, i.last)
      for i in found.intervals
      if i.bucket == bucket and i.last is not None
    ]
    # One line with gaps: a long run has very many pieces.
    x0, x1, y0, y1 = np.array(pieces, float).reshape(-1, 4).T
    gap = np.full_like(x0, np.nan)
    axis.plot(
      np.stack([x0, x1, gap], 1).ravel(),
      np.stack([y0, y1, gap], 1).ravel(),
      color=_COLOURS[bucket],
      lw=1.6,
    )
  for attempt in found.attempts:
    if attempt.how == "finished" or attempt.last is None:
      continue
    x = (attempt.end - start) / unit
    axis.axvline(x, color=_OTHER, lw=0.8, ls="--")
    axis.annotate(
      attempt.how,
      (x, attempt.last),
      xytext=(-4, 2),
      textcoords="offset points",
      ha="right",
      fontsize=8,
      color="#475569",
    )
  axis.set_ylim(bottom=0)
  axis.set_ylabel("step")
