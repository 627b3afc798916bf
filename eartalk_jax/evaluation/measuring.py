"""Measures a generator on held-out clips, by pixels alone.

Every clip is generated from its own portrait, speech and controls, with
nothing given for the mouth; half of them again with the speech of the other
half; some as long streams. A probe trained on real frames reads what is to be
seen, and that is compared with the truth:

  figures of continuous tracks   mean over clips of Pearson's r in each clip
  figures of categorical tracks  mean over clips of the share of right frames
  NAME_changed                   the same, of frames whose class is not the
                                 portrait's: who copies the portrait gets 0
  NAME_ceiling                   the same for the real frames
  NAME_tokenizer                 the same for real frames, encoded and decoded
  NAME_copy_baseline             the same for a portrait that never moves

A figure is None where no clip has the truth for it; "not_measured" says so.
See `scores` for clips in which something stands still, and `metrics` for what
is measured on each video.

Dimension key:  T frames, K numbers of a track, ..YX3 pictures.
"""

import numpy as np

from eartalk_jax.counting import counting
from eartalk_jax.evaluation import metrics as measures
from eartalk_jax.evaluation import rollouts, scores
from eartalk_jax.evaluation.figures import name_of
from eartalk_jax.evaluation.metrics import Seen
from eartalk_jax.evaluation.metrics.tracks import of_tracks

_LACKING = {
  "truth": "no clip has a truth of",
  "probe": "no probe reads",
  "reader": "there is no",
}
_UNDEFINED = "no clip has what it is measured on"


def measure(clips, videos, probe):
  """All figures: (metrics, arrays).

  Args:
    clips: the real clips.
    videos: from `make_videos`.
    probe: a `TrainedProbe`, or None: then only what needs no truth.

  Returns:
    metrics: flat dict of numbers (or None); "clips_counted" {figure: n}, and
      "not_measured" {figure: why it is None} if any is.
    arrays: dict of arrays for plots.
  """
  seen = _see(clips, videos, probe)
  frames = sum(len(video) for video in videos.decoded)
  metrics = {"clips": len(clips), "frames": frames}
  figures, counts, reasons = _figures(clips, seen, probe)
  metrics |= figures | {"clips_counted": counts}
  arrays = {}
  if probe is not None and "mouth" in dict(probe.config.tracks):
    metrics |= _wrong_audio_figures(clips, seen["wrong"])
    drift, lip_by_tenth = _drift(videos.streams, seen["long"])
    metrics |= drift
    arrays = _traces(clips, seen) | {"lip_by_tenth": lip_by_tenth}
  for name, value in metrics.items():
    if value is None:
      reasons.setdefault(name, _UNDEFINED)
  if reasons:
    metrics["not_measured"] = reasons
  return metrics, arrays


def _see(clips, videos, probe):
  """Every video with the probe's reading of it, {kind: [Seen]}."""
  kinds = {
    "_ceiling": [clip.frames_TYX3 for clip in clips],
    "_tokenizer": videos.decoded,
    "_copy_baseline": [_still(clip) for clip in clips],
    "": videos.own,
    "wrong": videos.wrong,
    "long": videos.long,
  }
  if probe is None:
    return {k: [Seen(video, {}) for video in v] for k, v in kinds.items()}
  total = sum(len(kind) for kind in kinds.values())
  with counting("probe reads", total, "videos") as advance:
    seen = {}
    for name, kind in kinds.items():
      seen[name] = []
      for video in kind:
        seen[name].append(Seen(video, probe.read(video)))
        advance()
  return seen


def _figures(clips, seen, probe):
  """What all metrics say of all kinds of videos.

  Returns:
    {figure: value}, {figure: clips counted} and {figure: why it is None}.
  """
  found, counts, reasons = {}, {}, {}
  config = None if probe is None else probe.config
  for metric in (*measures.METRICS, *of_tracks(config)):
    reason = _lacking(metric, clips, config)
    for kind in metric.over:
      if reason:
        values = {figure.key: (None, 0) for figure in metric.figures}
      else:
        values = _apply(metric, seen[kind], clips)
      for key, (value, count) in values.items():
        name = name_of(key, kind)
        found[name] = value
        if count is not None:
          counts[name] = count
        if reason:
          reasons[name] = reason
  return found, counts, reasons


def _lacking(metric, clips, config):
  """Why a metric cannot measure anything; None if it can."""
  offered = {f"truth:{name}" for clip in clips for name in clip.tracks}
  if config is not None:
    read = (*config.tracks, *config.classes)
    offered |= {"reader:probe", *(f"probe:{name}" for name, _ in read)}
  for need in metric.needs:
    if need not in offered:
      whose, _, what = need.partition(":")
      return f"{_LACKING[whose]} {what}"
  if not any(_is_told(metric, clip) for clip in clips):
    return "no clip has all the truth that it needs"
  return None


def _is_told(metric, clip):
  """Whether a clip has all the truth that a metric needs."""
  needs = [need.partition(":") for need in metric.needs]
  return all(
    what in clip.tracks for whose, _, what in needs if whose == "truth"
  )


def _apply(metric, seen, clips):
  """A metric's figures of the videos whose clips have the truth it needs."""
  state = metric.start()
  for each, clip in zip(seen, clips, strict=True):
    if _is_told(metric, clip):
      metric.push(state, each, clip)
  return metric.finish(state)


def _still(clip):
  return np.broadcast_to(clip.portrait_YX3, clip.frames_TYX3.shape)


def _lip(mouth_TK, truth_TK):
  return scores.correlation(mouth_TK[:, 0], truth_TK[: len(mouth_TK), 0])


def _wrong_audio_figures(clips, seen):
  """Lip figures against the own truth and the driving clip's truth.

  Two people who speak are both quiet before and after: the ceiling of `own` is
  what their true mouths have in common.
  """
  own, driving, common = [], [], []
  pairs = rollouts.wrong_audio_pairs(clips)
  for each, (clip, driver) in zip(seen, pairs, strict=True):
    if "mouth" in clip.tracks and "mouth" in driver.tracks:
      read_TK = each.tracks["mouth"]
      own.append(_lip(read_TK, clip.tracks["mouth"]))
      driving.append(_lip(read_TK, driver.tracks["mouth"]))
      spoken_TK = driver.tracks["mouth"][: len(read_TK)]
      common.append(_lip(spoken_TK, clip.tracks["mouth"]))
  return {
    "lip_wrong_audio_own": scores.mean_over_clips(own)[0],
    "lip_wrong_audio_own_ceiling": scores.mean_over_clips(common)[0],
    "lip_wrong_audio_driving": scores.mean_over_clips(driving)[0],
  }


def _drift(streams, seen):
  """Lip figures of the tenths of the long streams: (metrics, [10])."""
  if not streams:
    nothing = {"lip_first_tenth": None, "lip_last_tenth": None}
    return nothing | {"long_stream_frames": 0}, np.full(10, np.nan)
  frames = len(streams[0].mouth_TK)
  tenth = frames // 10
  lips = []
  for start in range(0, tenth * 10, tenth):
    values = [
      scores.correlation(
        each.tracks["mouth"][start : start + tenth, 0],
        stream.mouth_TK[start : start + tenth, 0],
      )
      for each, stream in zip(seen, streams, strict=True)
    ]
    mean, _ = scores.mean_over_clips(values)
    lips.append(np.nan if mean is None else mean)
  metrics = {
    "lip_first_tenth": _number(lips[0]),
    "lip_last_tenth": _number(lips[-1]),
    "long_stream_frames": frames,
    "long_streams": len(streams),
  }
  return metrics, np.array(lips)


def _number(value):
  return float(value) if np.isfinite(value) else None


def _traces(clips, seen):
  """Mouth openings for the plots, [clips, T], NaN past a clip's end.

  Of "driving" and "wrong" there are only the clips with another's speech.
  """
  pairs = rollouts.wrong_audio_pairs(clips)
  traces = {
    "truth": [_opening(clip.tracks) for clip in clips],
    "driving": [_opening(driver.tracks) for _, driver in pairs],
  }
  for name, kind in (("real", "_ceiling"), ("own", ""), ("wrong", "wrong")):
    traces[name] = [_opening(each.tracks) for each in seen[kind]]
  longest = max(len(clip.frames_TYX3) for clip in clips)
  return {
    f"mouth_{name}": np.stack([_filled(row, longest) for row in rows])
    for name, rows in traces.items()
  }


def _opening(tracks):
  return tracks["mouth"][:, 0] if "mouth" in tracks else np.zeros(0)


def _filled(row_T, frames):
  row_T = np.asarray(row_T[:frames], np.float32)
  return np.pad(row_T, (0, frames - len(row_T)), constant_values=np.nan)
