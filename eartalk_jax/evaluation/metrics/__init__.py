"""What is measured on each video: a file for each metric, all in METRICS.

Another metric is a file like them and a line in METRICS. It is then in
metrics.json for each kind of video that it is over, in the report and on the
page of an ablation study; what is to be known of its figures, it tells itself.

Dimension key:  T frames, K numbers of a track, ..YX3 pictures.
"""

import dataclasses
from typing import Any, Protocol

import numpy as np

from eartalk_jax.evaluation.figures import FIGURES, Figure
from eartalk_jax.evaluation.metrics.motion import MotionRatio
from eartalk_jax.evaluation.metrics.nearest import OwnPortraitNearest
from eartalk_jax.evaluation.metrics.psnr import Psnr
from eartalk_jax.evaluation.metrics.ssim import Ssim


@dataclasses.dataclass(frozen=True)
class Seen:
  """A video with what was read off it, once for all metrics.

  Attributes:
    video_TYX3: uint8, as long as its clip.
    tracks: {track: float [T, K]} by the probe, in the units of the truth, a
      class as its index; empty without a probe.
  """

  video_TYX3: np.ndarray
  tracks: dict


class Metric(Protocol):
  """Measures the videos of one kind, one after another.

  Attributes:
    figures: what it gives.
    needs: "truth:TRACK", without which a clip is not pushed; "probe:TRACK", or
      "reader:probe" if any track will do. What no clip has, or no probe reads,
      leaves all figures None, and metrics.json says why.
    over: the kinds of videos that it makes sense for, of `figures.KINDS`.
  """

  figures: tuple[Figure, ...]
  needs: tuple[str, ...]
  over: tuple[str, ...]

  def start(self) -> Any:
    """A new state, of one kind of video."""

  def push(self, state, seen, clip) -> None:
    """Adds a video to the state, in place.

    Args:
      state: of `start`.
      seen: Seen, the video.
      clip: `held_out.Clip` with the real frames_TYX3, the portrait_YX3 and the
        truth, {track: [T, K]}, of the same frames.
    """

  def finish(self, state) -> dict[str, tuple[float | None, int | None]]:
    """{key of a figure: (value, clips counted)}, of one clip or more.

    A value is None if the clips say nothing; a count is None if all of them
    always count.
    """


# What a probe reads is measured besides, see `tracks`.
METRICS: tuple[Metric, ...] = (
  Psnr("psnr_db", over=("", "_copy_baseline")),
  Psnr("tokenizer_psnr_db", over=("_tokenizer",)),
  Ssim(),
  OwnPortraitNearest(),
  MotionRatio(),
)


def all_figures():
  """{key: Figure} of everything that is known, those of METRICS included."""
  brought = {f.key: f for metric in METRICS for f in metric.figures}
  return FIGURES | brought
