"""One media file to clips of cropped pictures, sound and truth.

Two passes over the video, so that no pass holds more than a few pictures of
the source: the first looks for scene cuts and faces, the second crops.
"""

import dataclasses
import itertools

import numpy as np

from data_pipelines import crops, media, scenes, scores
from data_pipelines.child import alive
from data_pipelines.faces import load_detector
from data_pipelines.names import printable, what_is_wrong
from data_pipelines.rejects import Reject
from data_pipelines.truth import read_truth
from eartalk_jax import spans

# A face is looked for in every so many pictures: about twice a second.
_SAMPLE_EVERY = 12
# Detectors see pictures of at most that many pixels a side.
_DETECT_SIDE = 640
_SMALLEST_SIDE = 32


@dataclasses.dataclass(frozen=True)
class Settings:
  """What the content of a shard depends on, besides its source files.

  Attributes:
    size: pixels per side of the crops.
    faces: see `faces.load_detector`.
    longest: seconds above which a shot is cut into equal parts.
    track_sizes: truth track -> numbers per frame, over all files.
    categories: truth track -> names of its indices.
  """

  size: int
  faces: str
  longest: float
  track_sizes: dict
  categories: dict

  @property
  def record_bytes(self):
    """Bytes of the longest record that may come."""
    numbers = sum(self.track_sizes.values())
    frame = 3 * self.size**2 + 2 * spans.FRAME_SAMPLES + 4 * numbers
    return round(self.longest * spans.FPS) * frame


@dataclasses.dataclass
class Scan:
  """What the first pass finds."""

  size: tuple  # (width, height) of the upright picture
  frames: int
  thumbs_TYX3: np.ndarray
  boxes: dict  # output frame -> the detector's boxes, in source pixels
  length_difference: float


def ingest_file(path, name, settings):
  """Yields (record, row) for each sub-clip of a file.

  Args:
    path: the media file.
    name: what it is called; in the dataset, in printable form.
    settings: what to make of it.

  Yields:
    `record`: dict as in `fields`, or None if rejected. `row`: JSON
    dict of source, start_frame, frames, and either clip_id and scores or
    reason and detail.
  """
  name = printable(name)
  try:
    problem = what_is_wrong(path)
    if problem:
      raise Reject("not_a_file", problem)
    truth = read_truth(path)
    _check_tracks(truth, settings)
    sound = media.read_sound(path)
    scan = scan_video(path, sound, load_detector(settings.faces))
    yield from _cut(path, name, sound, scan, truth, settings)
  except Reject as reject:
    yield None, reject.row(name)


def _check_tracks(truth, settings):
  for name, rows in truth.tracks.items():
    if rows.shape[1] != settings.track_sizes[name]:
      raise Reject(
        "bad_truth",
        f"{name} has {rows.shape[1]} numbers a frame, in other files "
        f"{settings.track_sizes[name]}",
      )
    if truth.categories.get(name) != settings.categories.get(name):
      raise Reject("bad_truth", f"categories of {name} differ between files")


def scan_video(path, sound, detect):
  """The first pass: thumbnails of all pictures, faces in some.

  Raises:
    Reject: whatever `media.frames_at_25` raises; too_small.
  """
  clock, thumbs, boxes = media.Clock(), [], {}
  for index, frame in enumerate(media.frames_at_25(path, sound, clock)):
    if min(frame.size) < _SMALLEST_SIDE:
      raise Reject("too_small", "{} x {} pixels".format(*frame.size))
    thumbs.append(frame.scaled(scenes.THUMB, scenes.THUMB))
    if index % _SAMPLE_EVERY == 0:
      alive()
      if detect is not None:
        boxes[index] = _detect(frame, detect)
  return Scan(
    size=frame.size,
    frames=len(thumbs),
    thumbs_TYX3=np.stack(thumbs),
    boxes=boxes,
    length_difference=abs(clock.end - sound.end),
  )


def _detect(frame, detect):
  width, height = frame.size
  scale = min(1.0, _DETECT_SIDE / max(width, height))
  picture_YX3 = frame.scaled(round(width * scale), round(height * scale))
  return [
    (x / scale, y / scale, size / scale, score)
    for x, y, size, score in detect(picture_YX3)
  ]


def _cut(path, name, sound, scan, truth, settings):
  """The second pass: one record after the other."""
  clock = media.Clock()
  frames = media.frames_at_25(path, sound, clock)
  longest = round(settings.longest * spans.FPS)
  cuts = scenes.find_cuts(scan.thumbs_TYX3)
  for first, count in scenes.split(cuts, scan.frames, longest):
    part = itertools.islice(frames, count)
    try:
      crop = _choose_crop(scan, first, count, settings)
    except Reject as reject:
      for _ in part:  # the pictures must go by all the same
        alive()
      yield None, reject.row(name, first, count)
      continue
    pictures, times = [], []
    for frame in part:
      pictures.append(crops.crop_picture(frame, crop, settings.size))
      times.append(frame.time)
      alive()
    audio_S = sound.cut(clock.zero, first, count)
    record = _record(np.stack(pictures), audio_S, truth, times, settings)
    row = {
      "clip_id": f"{name}:{first:06d}",
      "source": name,
      "start_frame": first,
    }
    numbers = crop.scores | {
      "seconds": count / spans.FPS,
      "zoom": crop.side / settings.size,
      "loudness": scores.loudness(audio_S),
      "sharpness": scores.sharpness(record["frames"]),
      "motion": scores.motion(record["frames"]),
      "length_difference": scan.length_difference,
    }
    rounded = {key: round(value, 4) for key, value in numbers.items()}
    yield record | row, row | {"frames": count, "scores": rounded}


def _choose_crop(scan, first, count, settings):
  if settings.faces == "whole":
    return crops.whole_picture(scan.size)
  samples = [scan.boxes[k] for k in scan.boxes if first <= k < first + count]
  return crops.steady_crop(samples, _SAMPLE_EVERY / spans.FPS)


def _record(frames_TYX3, audio_S, truth, times, settings):
  record = {"frames": frames_TYX3, "audio": audio_S}
  for track, size in settings.track_sizes.items():
    has = track in truth.tracks
    zeros = np.zeros((len(times), size), np.float32)
    record[f"tracks/{track}"] = truth.at(track, times) if has else zeros
    record[f"has/{track}"] = has
  return record
