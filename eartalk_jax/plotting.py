"""How plots look, and how they become PNG."""

import io

import matplotlib
from matplotlib import pyplot as plt

from eartalk_jax import files

matplotlib.use("Agg")

TRUTH, OURS, WRONG, QUIET = "#1f2933", "#0f766e", "#d97706", "#94a3b8"
STYLE = {
  "font.size": 10,
  "font.family": "DejaVu Sans",
  "axes.spines.top": False,
  "axes.spines.right": False,
  "axes.edgecolor": "#cbd5e1",
  "axes.labelcolor": "#475569",
  "xtick.color": "#475569",
  "ytick.color": "#475569",
  "axes.grid": True,
  "grid.color": "#eef2f6",
  "legend.frameon": False,
  "figure.dpi": 110,
}


def save(path, figure):
  """Writes a figure to a PNG file and closes it."""
  with files.replacing(path) as temporary:
    temporary.write_bytes(png(figure))


def png(figure):
  """The bytes of a figure's PNG file; closes it."""
  buffer = io.BytesIO()
  figure.savefig(buffer, format="png", bbox_inches="tight")
  plt.close(figure)
  return buffer.getvalue()
