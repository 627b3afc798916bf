"""Videos of a real face, and what launch.prepare makes of a folder of them."""

import json

import clips
import numpy as np
from PIL import Image
from skimage import data

from data_pipelines import filters, finishing, preparing
from data_pipelines.finding import find_media

LIMITS = {rule.option: rule.default for rule in filters.FILTERS}


def face(frames, shift=1.0, width=192):
  """A real face that sways a little."""
  photo = Image.fromarray(data.astronaut())
  pictures = []
  for i in range(frames):
    x, y = 90 + 8 * shift * np.sin(i / 5), 5 + 4 * shift * np.cos(i / 7)
    picture = photo.resize((width, width), box=(x, y, x + 260, y + 260))
    pictures.append(np.asarray(picture))
  return pictures


def write_face(path, seconds=2.0, rate=25, **fields):
  count = round(seconds * rate)
  clip = clips.Clip(
    face(count), np.arange(count) / rate, clips.noise(seconds), **fields
  )
  return clips.write(path, clip)


def write_truth(path, times, **tracks):
  content = {"version": 1, "times": list(times), "tracks": tracks}
  path.with_suffix(".truth.json").write_text(json.dumps(content))


def prepare(source, out, workers=1, limits=None, per_shard=2, **options):
  """What launch.prepare does."""
  names = find_media(source, but=out).names
  options = {"size": 32, "faces": "cascade"} | options
  with preparing.claimed(out):
    settings = preparing.make_settings(source, names, longest=20.0, **options)
    jobs = preparing.make_plan(source, out, names, settings, per_shard)
    made = preparing.make_shards(jobs, workers)
    selection = finishing.select(out, LIMITS | (limits or {}))
    finishing.finish(out, selection)
  return made, selection.counts()


def shard_bytes(out):
  return {p.name: p.read_bytes() for p in sorted(out.glob("frames-clips*"))}


def make_folder(path):
  """Three good videos and one that is none."""
  (path / "deep").mkdir()
  write_face(path / "deep" / "a.mp4", rate=30)
  write_face(path / "b.mkv", seconds=1.2)
  write_face(path / "c.mp4", seconds=1.2)
  (path / "d.mp4").write_text("no video")
  (path / "notes.txt").write_text("not looked at")
  rows = [[i / 60, 1 - i / 60] for i in range(60)]
  write_truth(
    path / "deep" / "a.mp4", np.arange(60) / 30, gaze=rows, blink=[[0]] * 60
  )
  write_truth(path / "b.mkv", np.arange(30) / 25, blink=[[1]] * 30)
  return path
