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

A figure is None where no clip has the truth for it. See `scores` for clips in
which something stands still.

Dimension key:  T frames, K numbers of a track, ..YX3 pictures.
"""

import numpy as np

from eartalk_jax.counting import counting
from eartalk_jax.evaluation import rollouts, scores

# What the columns of a track are called; others are NAME_0, NAME_1, ...
FIGURES = {
  "mouth": ("lip", "lip_width", "lip_round"),
  "pose": ("yaw", "pitch", "roll"),
  "blink": ("blink",),
  "gaze": ("gaze_x", "gaze_y"),
}
_SSIM_EVERY = 10


def measure(clips, videos, probe):
  """All figures: (metrics, arrays).

  Args:
    clips: the real clips.
    videos: from `make_videos`.
    probe: a `TrainedProbe`, or None: then only what needs no truth.

  Returns:
    metrics: flat dict of numbers (or None), and "clips_counted" {figure: n}.
    arrays: dict of arrays for plots.
  """
  metrics = _picture_figures(clips, videos)
  if probe is None:
    return metrics, {}
  read = _read_everything(clips, videos, probe)
  counts = {}
  for suffix, reading in (
    ("", read["own"]),
    ("_ceiling", read["real"]),
    ("_tokenizer", read["decoded"]),
    ("_copy_baseline", read["still"]),
  ):
    for name, values in _compare(probe.config, reading, clips).items():
      metrics[name + suffix], counts[name + suffix] = values
  metrics["clips_counted"] = counts
  if "mouth" not in dict(probe.config.tracks):
    return metrics, {}
  metrics |= _wrong_audio_figures(clips, read["wrong"])
  drift, lip_by_tenth = _drift(videos.streams, read["long"])
  arrays = _traces(clips, read) | {"lip_by_tenth": lip_by_tenth}
  return metrics | drift, arrays


def _picture_figures(clips, videos):
  """What is measured on pixels directly."""
  pairs = [
    (ours, real)
    for clip, video in zip(clips, videos.decoded, strict=True)
    for ours, real in zip(video, clip.frames_TYX3, strict=True)
  ]
  portraits = np.stack([clip.portrait_YX3 for clip in clips])
  real = [clip.frames_TYX3 for clip in clips]
  return {
    "clips": len(clips),
    "frames": len(pairs),
    "tokenizer_psnr_db": float(np.mean([scores.psnr(*p) for p in pairs])),
    "tokenizer_ssim": float(
      np.mean([scores.ssim(*p) for p in pairs[::_SSIM_EVERY]])
    ),
    "psnr_db": _psnr(videos.own, clips),
    "psnr_db_copy_baseline": _psnr(map(_still, clips), clips),
    "own_portrait_nearest": _nearest_share(videos.own, portraits),
    "own_portrait_nearest_ceiling": _nearest_share(real, portraits),
    "motion_ratio": _motion_ratio(videos.own, real),
    "motion_ratio_tokenizer": _motion_ratio(videos.decoded, real),
  }


def _psnr(videos, clips):
  """Of all frames against the real ones, whose pose and speech they share."""
  return float(
    np.mean(
      [
        scores.psnr(ours, real)
        for video, clip in zip(videos, clips, strict=True)
        for ours, real in zip(video, clip.frames_TYX3, strict=True)
      ]
    )
  )


def _nearest_share(videos, portraits_BYX3):
  return float(
    np.mean(
      [
        scores.nearest_portrait(video, portraits_BYX3) == index
        for index, video in enumerate(videos)
      ]
    )
  )


def _motion_ratio(videos, real):
  moved = np.mean([scores.motion(video) for video in videos])
  return float(moved / max(np.mean([scores.motion(v) for v in real]), 1e-9))


def _read_everything(clips, videos, probe):
  """The probe's reading of each kind of video, {kind: [{track: [T, K]}]}."""
  kinds = {
    "real": [clip.frames_TYX3 for clip in clips],
    "decoded": videos.decoded,
    "still": [_still(clip) for clip in clips],
    "own": videos.own,
    "wrong": videos.wrong,
    "long": videos.long,
  }
  total = sum(len(kind) for kind in kinds.values())
  with counting("probe reads", total, "videos") as advance:
    read = {}
    for name, kind in kinds.items():
      read[name] = []
      for video in kind:
        read[name].append(probe.read(video))
        advance()
  return read


def _still(clip):
  return np.broadcast_to(clip.portrait_YX3, clip.frames_TYX3.shape)


def _compare(config, reading, clips):
  """{figure: (mean over clips, clips counted)}."""
  figures = {}
  for track, size in config.tracks:
    for column, name in enumerate(figure_names(track, size)):
      figures[name] = scores.mean_over_clips(
        [
          scores.correlation(
            read[track][:, column], clip.tracks[track][:, column]
          )
          for read, clip in zip(reading, clips, strict=True)
          if track in clip.tracks
        ]
      )
  for track, _ in config.classes:
    shares = [
      _shares(read[track][:, 0], clip, track)
      for read, clip in zip(reading, clips, strict=True)
      if track in clip.tracks
    ]
    for column, name in enumerate((track, f"{track}_changed")):
      values = [share[column] for share in shares]
      figures[name] = scores.mean_over_clips(values)
  return figures


def _shares(read_T, clip, track):
  """Share of right frames: of all, and of those unlike the portrait."""
  true_T = clip.tracks[track][:, 0]
  right_T = read_T == true_T
  changed_T = true_T != clip.portrait_tracks[track][0]
  if not changed_T.any():
    return right_T.mean(), np.nan
  return right_T.mean(), right_T[changed_T].mean()


def figure_names(track, size):
  """What the columns of a continuous track are called."""
  names = FIGURES.get(track, ())
  if len(names) == size:
    return names
  return tuple(f"{track}_{column}" for column in range(size))


def _lip(read, truth_TK):
  return scores.correlation(
    read["mouth"][:, 0], truth_TK[: len(read["mouth"]), 0]
  )


def _wrong_audio_figures(clips, reading):
  """Lip figures against the own truth and the driving clip's truth.

  Two people who speak are both quiet before and after: the ceiling of `own` is
  what their true mouths have in common.
  """
  own, driving, common = [], [], []
  pairs = rollouts.wrong_audio_pairs(clips)
  for read, (clip, driver) in zip(reading, pairs, strict=True):
    if "mouth" in clip.tracks and "mouth" in driver.tracks:
      own.append(_lip(read, clip.tracks["mouth"]))
      driving.append(_lip(read, driver.tracks["mouth"]))
      spoken = {"mouth": driver.tracks["mouth"][: len(read["mouth"])]}
      common.append(_lip(spoken, clip.tracks["mouth"]))
  return {
    "lip_wrong_audio_own": scores.mean_over_clips(own)[0],
    "lip_wrong_audio_own_ceiling": scores.mean_over_clips(common)[0],
    "lip_wrong_audio_driving": scores.mean_over_clips(driving)[0],
  }


def _drift(streams, reading):
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
        read["mouth"][start : start + tenth, 0],
        stream.mouth_TK[start : start + tenth, 0],
      )
      for read, stream in zip(reading, streams, strict=True)
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


def _traces(clips, read):
  """Mouth openings for the plots, [clips, T], NaN past a clip's end.

  Of "driving" and "wrong" there are only the clips with another's speech.
  """
  pairs = rollouts.wrong_audio_pairs(clips)
  traces = {
    "truth": [_opening(clip.tracks) for clip in clips],
    "driving": [_opening(driver.tracks) for _, driver in pairs],
  }
  for kind in ("real", "own", "wrong"):
    traces[kind] = [_opening(reading) for reading in read[kind]]
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
