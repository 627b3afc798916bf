"""What an ablation study found: a table, a plot and what differs for sure."""

import math
import pathlib
import statistics

from matplotlib import pyplot as plt

from eartalk_jax import files, plotting
from eartalk_jax.evaluation.figures import name_of
from eartalk_jax.evaluation.metrics import all_figures
from eartalk_jax.plotting import OURS, QUIET, STYLE, TRUTH

# Of generated video, what the page does not show; it shows all else.
_LEFT_OUT = (
  "lip_width",
  "lip_round",
  "lip_wrong_audio_own",
  "lip_first_tenth",
  "pitch",
  "roll",
  "gaze_x",
  "gaze_y",
  "emotion",
  "clips",
  "frames",
  "long_streams",
  "long_stream_frames",
)


def shown(rows):
  """{key: Figure} of what the page shows of these runs."""
  return {
    key: figure
    for key, figure in all_figures().items()
    if name_of(key, "") == key
    and key not in _LEFT_OUT
    and any(row.get(key) is not None for row in rows)
  }


def summarise(rows):
  """{variant: {figure: (mean, spread over seeds)}}; failed runs left out."""
  found, names = {}, shown(rows)
  for row in rows:
    kept = found.setdefault(row["variant"], {name: [] for name in names})
    for name in names:
      if row.get(name) is not None:
        kept[name].append(row[name])
  return {
    variant: {
      name: (statistics.fmean(values), _spread(values))
      for name, values in kept.items()
      if values
    }
    for variant, kept in found.items()
  }


def _spread(values):
  return statistics.stdev(values) if len(values) > 1 else math.nan


def verdict(found, full, figure):
  """Says "worse", "better" or, within the spread, "".

  It counts where the means are further apart than both standard deviations
  together.
  """
  key, better = figure.key, figure.better
  if better is None or key not in found or key not in full:
    return ""
  (mean, spread), (base, base_spread) = found[key], full[key]
  if not abs(mean - base) > spread + base_spread:
    return ""
  return "better" if (mean > base) == (better == "more") else "worse"


def write_page(directory, told, rows):
  """Writes ablations.md and, if any run has figures, ablations.png.

  Args:
    directory: where to.
    told: {variant: what is different}, in order, the full model first.
    rows: a dictionary for each run: variant, seed and figures, or `failed`.
  """
  directory = pathlib.Path(directory)
  summary, figures = summarise(rows), shown(rows).values()
  seeds = len({row["seed"] for row in rows})
  lines = [
    f"Means over {seeds} seeds ± their standard deviation. **Bold**: worse "
    "than the full model by more than both deviations together; *italic*: "
    "better by as much.",
    "",
    _line(["variant", "what is different", *(f.heading for f in figures)]),
    "|---|---|" + "---|" * len(figures),
  ]
  full = summary[next(iter(told))]
  for variant, what in told.items():
    cells = [_cell(summary[variant], full, figure) for figure in figures]
    lines.append(_line([variant, what, *cells]))
  failed = [row for row in rows if "failed" in row]
  lines += [""] * bool(failed)
  lines += [
    f"- {row['variant']}, seed {row['seed']}, failed: {row['failed']}"
    for row in failed
  ]
  if any(summary.values()):
    with plt.rc_context(STYLE):
      plotting.save(directory / "ablations.png", draw(told, rows))
  files.write_text(directory / "ablations.md", "\n".join(lines) + "\n")


def _line(cells):
  return f"| {' | '.join(cells)} |"


def _cell(found, full, figure):
  if figure.key not in found:
    return "-"
  mean, spread = found[figure.key]
  # A mean over seeds says more than one run does.
  text = figure.text(mean, finer=1)
  if not math.isnan(spread):
    text += f" ± {figure.text(spread, finer=1)}"
  mark = {"worse": "**", "better": "*", "": ""}[verdict(found, full, figure)]
  return f"{mark}{text}{mark}"


def draw(told, rows):
  """A dot for each run, a bar at the mean; one panel for each figure."""
  names = shown(rows)
  columns = 4
  lines = -(-len(names) // columns)
  figure, axes = plt.subplots(
    lines,
    columns,
    figsize=(13, lines * (0.8 + 0.27 * len(told))),
    sharey=True,
    squeeze=False,
  )
  places = {variant: -index for index, variant in enumerate(told)}
  for axis in axes.flat[len(names) :]:
    axis.set_visible(False)
  for axis, name in zip(axes.flat, names, strict=False):
    for variant, place in places.items():
      values = [
        row[name]
        for row in rows
        if row["variant"] == variant and row.get(name) is not None
      ]
      if not values:
        continue
      color = TRUTH if place == 0 else OURS
      axis.plot(values, [place] * len(values), "o", color=color, alpha=0.6)
      mean = statistics.fmean(values)
      axis.plot([mean] * 2, [place - 0.35, place + 0.35], color=color, lw=2)
      if place == 0:
        axis.axvline(mean, color=QUIET, lw=0.8, zorder=0)
    axis.set_title(names[name].heading, loc="left", fontsize=10)
    axis.set_yticks(list(places.values()), list(places))
  figure.tight_layout()
  return figure
