"""The pictures of a fitted law, as PNG bytes."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib import ticker
from scipy import stats

from eartalk_jax import plotting
from eartalk_jax.plotting import OURS, QUIET, STYLE, TRUTH, WRONG
from eartalk_jax.scaling.bootstrap import interval
from eartalk_jax.scaling.fitting import LEVEL, RUN_LEVEL
from eartalk_jax.scaling.isoflop import FEWEST, vertex_line
from eartalk_jax.scaling.law import best_loss, optimum
from eartalk_jax.scaling.sweep_reading import SAMPLES

_STEPS = 60


def draw_all(study, budgets, runs):
  """{name: PNG bytes} of every plot.

  Args:
    study: fitting.Study.
    budgets: FLOPs that the plots along compute reach to.
    runs: predictions of fit.json, drawn as stars.
  """
  with plt.rc_context(STYLE):
    return {
      "isoflop": plotting.png(isoflop(study)),
      "fit": plotting.png(fit(study)),
      "allocation": plotting.png(allocation(study, budgets)),
      "frontier": plotting.png(frontier(study, budgets, runs)),
    }


def isoflop(study):
  """Loss against size at each budget: points, the law, parabolas, minima."""
  law, cost = study.law, study.cost
  budgets = [b for b in study.budgets if len(b.members) >= FEWEST]
  figure, axis = plt.subplots(figsize=(9.4, 5.2))
  colours = plt.cm.viridis(np.linspace(0, 0.92, max(len(budgets), 2)))
  for budget, colour in zip(budgets, colours, strict=False):
    mine = study.points[budget.members]
    axis.plot(
      mine.params, mine.loss, "o", ms=4, color=colour,
      label=f"{budget.flops:.2g} FLOPs",
    )  # fmt: skip
    sizes = np.geomspace(mine.params.min(), mine.params.max(), _STEPS)
    axis.plot(
      sizes, law.loss(sizes, cost.tokens(sizes, budget.flops)), color=colour
    )
    if budget.curve is not None:
      axis.plot(sizes, budget.curve(np.log(sizes)), ls=":", lw=1, color=colour)
    if budget.best:
      axis.plot(
        budget.best, budget.curve(np.log(budget.best)), "x", color=colour
      )
  along = np.geomspace(*_reach(study, ()), _STEPS)
  axis.plot(
    optimum(law, cost, along)[0], best_loss(law, cost, along), color=WRONG,
    lw=1.2, label="the law's optimum",
  )  # fmt: skip
  _logarithmic(axis, "params", "loss")
  axis.set_yscale("log")
  _plain_losses(axis)
  axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
  return figure


def _plain_losses(axis):
  """Labels of a logarithmic axis that spans less than a decade or two."""
  axis.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
  axis.yaxis.set_major_formatter("{x:g}")
  axis.yaxis.set_minor_formatter("")
  low, high = axis.get_ylim()
  if high / low < 2.5:
    axis.yaxis.set_major_locator(ticker.MaxNLocator(6))


def _logarithmic(axis, x, y):
  axis.set_xscale("log")
  # 2 and 5 get labels where the axis spans less than 1.8 decades.
  axis.xaxis.set_minor_locator(ticker.LogLocator(subs=(2, 5)))
  axis.xaxis.set_minor_formatter(
    ticker.LogFormatterSciNotation(minor_thresholds=(1.8, 1.8))
  )
  axis.set_xlabel(x)
  axis.set_ylabel(y)


def _reach(study, budgets):
  flops = [*study.points.cost(), *budgets]
  return min(flops), max(flops)


def fit(study):
  """Measured losses against the law, and what it misses, along two axes."""
  points, law = study.points, study.law
  fitted = law.loss(points.params, points.tokens)
  miss = 100 * (points.loss / fitted - 1)
  gross = [p.index for p in study.leverages if p.gross]
  figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.8))
  left.plot(fitted, points.loss, "o", ms=3.5, color=OURS)
  ends = [fitted.min(), fitted.max()]
  left.plot(ends, ends, color=QUIET, lw=1)
  left.set_xlabel("loss by the law")
  left.set_ylabel("loss measured")
  for axis, x, label in (
    (middle, points.cost(), "FLOPs"),
    (right, points.tokens / points.params, "tokens per parameter"),
  ):
    axis.axhline(0, color=QUIET, lw=1)
    axis.plot(x, miss, "o", ms=3.5, color=OURS)
    axis.plot(x[gross], miss[gross], "o", ms=9, mfc="none", color=WRONG)
    _logarithmic(axis, label, "measured over law - 1, %")
  if gross:
    left.plot(
      fitted[gross], points.loss[gross], "o", ms=9, mfc="none", color=WRONG,
      label="high leverage",
    )  # fmt: skip
    left.legend(fontsize=8)
  figure.tight_layout()
  return figure


def allocation(study, budgets):
  """Optimal params and tokens along compute, with intervals."""
  low, high = _reach(study, budgets)
  flops = np.geomspace(low, high, _STEPS)
  best = optimum(study.law, study.cost, flops)
  drawn = optimum(_columns(study.resampled.huber), study.cost, flops[None])
  line = vertex_line(study.budgets)
  figure, axes = plt.subplots(1, 2, figsize=(11, 4))
  for axis, value, value_RC, name in zip(
    axes, best, drawn, ("params", "tokens"), strict=True
  ):
    axis.fill_between(
      flops, *_bands(study, value_RC, LEVEL), color=OURS, alpha=0.2, lw=0,
      label=f"{100 * LEVEL:.0f} % interval",
    )  # fmt: skip
    axis.plot(flops, value, color=OURS, label="the law")
    axis.axvline(study.points.cost().max(), color=QUIET, ls="--", lw=1)
    vertices = [(b.flops, b.best) for b in study.budgets if b.best]
    if vertices:
      c, n = np.array(vertices).T
      axis.plot(
        c, n if name == "params" else study.cost.tokens(n, c), "x", color=TRUTH,
        label="vertices of parabolas",
      )  # fmt: skip
    if line:
      n = line.params(flops)
      axis.plot(
        flops, n if name == "params" else study.cost.tokens(n, flops), ls=":",
        lw=1, color=TRUTH, label="approach 2",
      )  # fmt: skip
    _logarithmic(axis, "FLOPs", f"optimal {name}")
    axis.set_yscale("log")
    axis.legend(fontsize=8)
  figure.tight_layout()
  return figure


def frontier(study, budgets, runs):
  """The lowest loss along compute, with intervals, and runs to predict."""
  low, high = _reach(study, [*budgets, *(run["flops"] for run in runs)])
  flops = np.geomspace(low, high, _STEPS)
  drawn_RC = best_loss(_columns(study.resampled.huber), study.cost, flops[None])
  noisy_RC = drawn_RC * np.exp(study.resampled.noise(study.seed))[:, None]
  figure, axis = plt.subplots(figsize=(9.4, 4.2))
  axis.fill_between(
    flops, *_bands(study, noisy_RC, RUN_LEVEL), color=QUIET, alpha=0.25, lw=0,
    label=f"a single run, {100 * RUN_LEVEL:.0f} %",
  )  # fmt: skip
  axis.fill_between(
    flops, *_bands(study, drawn_RC, RUN_LEVEL), color=OURS, alpha=0.25, lw=0,
    label=f"the law, {100 * RUN_LEVEL:.0f} %",
  )  # fmt: skip
  axis.plot(
    flops, best_loss(study.law, study.cost, flops), color=OURS,
    label="best run for a budget",
  )  # fmt: skip
  axis.plot(study.points.cost(), study.points.loss, "o", ms=3, color=TRUTH)
  for run in runs:
    middle = run["loss"]
    reach = [[middle - run["run_low"]], [run["run_high"] - middle]]
    axis.errorbar(
      run["flops"], middle, reach, fmt="*", ms=10, color=WRONG, capsize=3
    )
    if "measured" in run:
      axis.plot(run["flops"], run["measured"], "D", mfc="none", color=WRONG)
  _logarithmic(axis, "FLOPs", "loss")
  axis.set_yscale("log")
  _plain_losses(axis)
  axis.legend(fontsize=8)
  return figure


def quality(rows):
  """PNG bytes: figures of samples against loss, from rows of cells.

  None where fewer than 5 cells have been sampled with unlike outcomes.
  """
  rows = [row for row in rows if "loss" in row]
  names = [
    name
    for name in SAMPLES
    if len({row[name] for row in rows if name in row}) > 4
  ]
  if not names:
    return None
  with plt.rc_context(STYLE):
    figure, axes = plt.subplots(
      1, len(names), figsize=(5 * len(names), 3.6), squeeze=False
    )
    for axis, name in zip(axes[0], names, strict=True):
      pairs = [(row["loss"], row[name]) for row in rows if name in row]
      loss, figures = np.array(pairs).T
      axis.plot(loss, figures, "o", ms=4, color=OURS)
      order = stats.spearmanr(loss, figures).statistic
      axis.set_title(f"rank correlation {order:+.2f}", fontsize=10)
      axis.set_xlabel("loss")
      axis.set_ylabel(SAMPLES[name].heading)
    figure.tight_layout()
    return plotting.png(figure)


def _columns(laws):
  """Laws of the resamples as columns, against a row of budgets."""
  return laws[:, None]


def _bands(study, value_RC, level):
  """Ends of the interval at each budget."""
  ends = [interval(column, level) for column in value_RC.T]
  return np.array(ends).T
