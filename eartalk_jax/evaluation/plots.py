"""The pictures of an evaluation, drawn from its arrays."""

import pathlib

import numpy as np
from matplotlib import pyplot as plt
from PIL import Image, ImageDraw, ImageFont

from eartalk_jax import files, plotting
from eartalk_jax.plotting import OURS, QUIET, STYLE, TRUTH, WRONG
from eartalk_jax.spans import FPS

_ZOOM = 2


def draw_all(directory, metrics, arrays):
  """Draws every plot for which there are arrays, as PNG files."""
  directory = pathlib.Path(directory)
  with plt.rc_context(STYLE):
    if "mouth_own" in arrays:
      plotting.save(directory / "mouths.png", mouths(arrays))
    if "lip_by_tenth" in arrays and metrics.get("long_stream_frames"):
      plotting.save(directory / "drift.png", drift(metrics, arrays))
  with files.replacing(directory / "strips.png") as temporary:
    strips(arrays).save(temporary, "PNG")


def mouths(arrays, clips=3):
  """Mouth openings over time: own speech at the left, the wrong one right."""
  both = len(arrays["mouth_wrong"])
  rows = _talkative(arrays["mouth_truth"][:both], clips)
  figure, axes = plt.subplots(
    len(rows), 2, figsize=(11, 1.75 * len(rows)), sharey=True, squeeze=False
  )
  for (left, right), row in zip(axes, rows, strict=True):
    _trace(left, arrays["mouth_truth"][row], TRUTH, "truth")
    _trace(left, arrays["mouth_own"][row], OURS, "generated")
    _trace(right, arrays["mouth_driving"][row], TRUTH, "driving speech's truth")
    _trace(right, arrays["mouth_wrong"][row], WRONG, "generated")
    left.set_ylabel(f"clip {row}")
  axes[0][0].set_title("own speech", loc="left", fontsize=11)
  axes[0][1].set_title("another clip's speech", loc="left", fontsize=11)
  for axis in axes[0]:
    # Above the axes, beside the title: the traces fill all below.
    axis.legend(
      loc="lower right", bbox_to_anchor=(1, 0.97), ncols=2, fontsize=8
    )
  for axis in axes[-1]:
    axis.set_xlabel("seconds")
  figure.tight_layout()
  return figure


def _talkative(mouth_CT, clips):
  """Clips whose mouths move most: there is most to be seen."""
  spread = np.nanstd(np.where(np.isfinite(mouth_CT), mouth_CT, 0), axis=1)
  return np.argsort(-spread)[:clips]


def _trace(axis, values_T, colour, label):
  seconds_T = np.arange(len(values_T)) / FPS
  axis.plot(seconds_T, values_T, color=colour, lw=1.4, label=label)


def drift(metrics, arrays):
  """Lip correlation over the tenths of the long streams."""
  frames = metrics["long_stream_frames"]
  figure, axis = plt.subplots(figsize=(7, 2.6))
  tenths = np.arange(1, 11)
  axis.plot(tenths, arrays["lip_by_tenth"], color=OURS, marker="o", lw=1.6)
  if metrics.get("lip_ceiling") is not None:
    axis.axhline(metrics["lip_ceiling"], color=QUIET, ls="--", lw=1)
    axis.text(10.1, metrics["lip_ceiling"], "ceiling", va="center", fontsize=8)
  axis.set_ylim(min(0, np.nanmin(arrays["lip_by_tenth"])), 1.02)
  axis.set_xticks(tenths)
  axis.set_xlabel(f"tenth of a stream of {frames} frames")
  axis.set_ylabel("lip correlation")
  figure.tight_layout()
  return figure


def strips(arrays):
  """Real, decoded and generated frames of some clips, one above the other."""
  labels = {
    "strip_real": "real",
    "strip_decoded": "tokenizer",
    "strip_own": "generated",
    "strip_wrong": "other speech",
  }
  clips, frames, side = arrays["strip_real"].shape[:3]
  side *= _ZOOM
  margin, gap = 128, 14
  width = margin + (frames + 1) * side + gap
  height = clips * (len(labels) * side + gap)
  sheet = Image.new("RGB", (width, height), "white")
  draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(18)
  for clip in range(clips):
    top = clip * (len(labels) * side + gap)
    _paste(sheet, arrays["strip_portrait"][clip], margin, top)
    draw.text((margin + 4, top + side + 4), "portrait", "#475569", font)
    for row, (name, label) in enumerate(labels.items()):
      y = top + row * side
      draw.text((6, y + side // 2 - 8), label, "#475569", font)
      for column, picture in enumerate(arrays[name][clip]):
        _paste(sheet, picture, margin + gap + (column + 1) * side, y)
  return sheet


def _paste(sheet, picture_YX3, x, y):
  image = Image.fromarray(picture_YX3)
  size = (image.width * _ZOOM, image.height * _ZOOM)
  sheet.paste(image.resize(size, Image.Resampling.BICUBIC), (x, y))
