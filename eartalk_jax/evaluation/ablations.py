"""What an ablation study found: a table, a plot and what differs for sure."""

import math
import pathlib
import statistics

from matplotlib import pyplot as plt

from eartalk_jax import files, plotting
from eartalk_jax.plotting import OURS, QUIET, STYLE, TRUTH

# Figure -> (heading, decimals, whether more is better; None if neither is).
FIGURES = {
  "lip": ("lip", 3, True),
  "lip_wrong_audio_driving": ("lip, other speech", 3, True),
  "lip_last_tenth": ("lip, end of long stream", 3, True),
  "yaw": ("yaw", 3, True),
  "blink": ("blink", 3, True),
  "emotion_changed": ("emotion, changed", 3, True),
  "own_portrait_nearest": ("own portrait nearest", 3, True),
  "psnr_db": ("PSNR to real, dB", 2, True),
  "motion_ratio": ("motion over real", 2, None),
  "train_seconds": ("training, s", 0, None),
  "frame_ms": ("frame, ms", 1, None),
}


def summarise(rows):
  """{variant: {figure: (mean, spread over seeds)}}; failed runs left out."""
  found = {}
  for row in rows:
    kept = found.setdefault(row["variant"], {name: [] for name in FIGURES})
    for name in FIGURES:
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


def verdict(found, full, name):
  """Says "worse", "better" or, within the spread, "".

  It counts where the means are further apart than both standard deviations
  together.
  """
  better = FIGURES[name][2]
  if better is None or name not in found or name not in full:
    return ""
  (mean, spread), (base, base_spread) = found[name], full[name]
  if not abs(mean - base) > spread + base_spread:
    return ""
  return "better" if (mean > base) == better else "worse"


def write_page(directory, told, rows):
  """Writes ablations.md and, if any run has figures, ablations.png.

  Args:
    directory: where to.
    told: {variant: what is different}, in order, the full model first.
    rows: a dictionary for each run: variant, seed and figures, or `failed`.
  """
  directory = pathlib.Path(directory)
  summary = summarise(rows)
  seeds = len({row["seed"] for row in rows})
  lines = [
    f"Means over {seeds} seeds ± their standard deviation. **Bold**: worse "
    "than the full model by more than both deviations together; *italic*: "
    "better by as much.",
    "",
    "| variant | what is different | "
    + " | ".join(heading for heading, _, _ in FIGURES.values())
    + " |",
    "|---|---|" + "---|" * len(FIGURES),
  ]
  full = summary[next(iter(told))]
  for variant, what in told.items():
    cells = [_cell(summary[variant], full, name) for name in FIGURES]
    lines.append(f"| {variant} | {what} | " + " | ".join(cells) + " |")
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


def _cell(found, full, name):
  if name not in found:
    return "-"
  _, decimals, _ = FIGURES[name]
  mean, spread = found[name]
  text = f"{mean:.{decimals}f}"
  if not math.isnan(spread):
    text += f" ± {spread:.{decimals}f}"
  mark = {"worse": "**", "better": "*", "": ""}[verdict(found, full, name)]
  return f"{mark}{text}{mark}"


def draw(told, rows):
  """A dot for each run, a bar at the mean; one panel for each figure."""
  names = [
    name for name in FIGURES if any(row.get(name) is not None for row in rows)
  ]
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
    axis.set_title(FIGURES[name][0], loc="left", fontsize=10)
    axis.set_yticks(list(places.values()), list(places))
  figure.tight_layout()
  return figure
