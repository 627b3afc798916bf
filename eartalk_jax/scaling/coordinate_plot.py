"""The coordinate check as a picture: sizes of activations against width."""

from matplotlib import pyplot as plt
from matplotlib import ticker

from eartalk_jax import plotting
from eartalk_jax.plotting import STYLE
from eartalk_jax.scaling.coordinates import FLAT, KINDS, TITLES, slope


def draw(found, widths, judged, path):
  """Draws what `coordinates.measure` found as a PNG file.

  Args:
    found: of `measure`.
    widths: as given to it.
    judged: of `coordinates.judged`.
    path: of the file.
  """
  with plt.rc_context(STYLE):
    plotting.save(path, picture(found, widths, judged))


def picture(found, widths, judged):
  """A row for each parametrisation, a column for each judged activation."""
  figure, axes = plt.subplots(
    len(KINDS), len(judged), figsize=(3 * len(judged), 5.6), sharey="col"
  )
  for row, kind in zip(axes, KINDS, strict=True):
    for axis, (name, (module, what)) in zip(row, judged.items(), strict=True):
      _panel(axis, found[kind][module][what], widths)
      if kind == KINDS[0]:
        axis.set_title(name, loc="left", fontsize=10)
      else:
        axis.set_xlabel("width")
    row[0].set_ylabel(f"{TITLES[kind]}\nroot mean square")
  axes[0][-1].legend(title="steps", loc="upper left", bbox_to_anchor=(1, 1))
  figure.tight_layout()
  return figure


def _panel(axis, sizes, widths):
  """A line for each step, darker as they go on; the last one's slope."""
  steps = sizes.shape[1] - 1
  for step in range(steps + 1):
    if sizes[:, step].min() > 0:
      shade = plt.get_cmap("viridis")(0.9 * (1 - step / max(steps, 1)))
      axis.plot(
        widths,
        sizes[:, step],
        color=shade,
        marker="o",
        ms=3,
        lw=1.3,
        label=f"{step}",
      )
  axis.set_xscale("log", base=2)
  axis.set_yscale("log")
  axis.set_xticks(widths, [str(width) for width in widths])
  axis.minorticks_off()
  bottom, top = axis.get_ylim()
  subs = (1,) if top > 20 * bottom else (1, 1.5, 2, 3, 5, 7)
  axis.yaxis.set_major_locator(ticker.LogLocator(subs=subs))
  axis.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
  value = slope(widths, sizes[:, -1])
  axis.text(
    0.03,
    0.95,
    f"slope {value:+.2f}",
    transform=axis.transAxes,
    va="top",
    fontsize=9,
    bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
    color="#0f766e" if abs(value) <= FLAT else "#b42318",
  )
