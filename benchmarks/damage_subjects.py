"""What benchmarks.damage damages: files of a demo, and who reads them."""

import dataclasses
import fractions
import json
import os
import pathlib
import shutil
import subprocess
import sys

import av
import numpy as np
from PIL import Image

from benchmarks.damaging import damaged
from data_pipelines import filters, finishing, shards, speech, truth
from data_pipelines.portrait import load_portrait
from data_pipelines.rejects import Reject
from eartalk_jax.controls.requests import read_controls, read_portrait
from eartalk_jax.errors import UserError
from eartalk_jax.export.exporting import export_folder
from eartalk_jax.export.importing import import_folder
from eartalk_jax.generate import load_generator
from eartalk_jax.models.config import ControlConfig
from eartalk_jax.scaling.fitting import fit_points
from eartalk_jax.scaling.points import read_points
from eartalk_jax.tokenizers.storing import load_tokenizer

_CONTROLS = (
  ControlConfig("pose", "continuous", 3, 0.1),
  ControlConfig("emotion", "categorical", 2, 0.1),
)
_CATEGORIES = {"emotion": ["neutral", "happy"]}
_WISHES = {
  "pose": {"0": [0.3, 0, -0.5], "12": [-0.3, 0.25, 0], "25": None},
  "emotion": {"0": "happy", "30": "neutral"},
}


def _controls(path):
  read_controls(path, _CONTROLS, _CATEGORIES, 50)


def _known(path):
  read_portrait(path, _CONTROLS, _CATEGORIES)


def _frames(path):
  dataset = shards.open_dataset(path, "frames")
  for index in range(len(dataset.source)):
    dataset.source[index]


def _refilter(path):
  limits = {rule.option: rule.default for rule in filters.FILTERS}
  finishing.finish(path, finishing.select(path, limits))


def _fit(path):
  points, _, _ = read_points(path)
  fit_points(points, resamples=2, seed=0)


def _import(path):
  import_folder(path, path.with_name(f"{path.name}-out"))


_PICTURES = (".jpg", ".png", ".webp")

# By name, so that a child finds them.
READERS = {
  "sound": speech.count_frames,
  "picture": lambda path: load_portrait(path, 64, "whole"),
  "controls": _controls,
  "portrait": _known,
  "truth": lambda path: truth.read_truth(path.parent / "video.mp4"),
  "frames": _frames,
  "refilter": _refilter,
  "tokenizer": load_tokenizer,
  "run": load_generator,
  "import": _import,
  "fit": _fit,
}


def outcome(reader, path):
  """Yields what a reader makes of a file, "read" or "refused", in a child."""
  try:
    READERS[reader](path)
  except (UserError, Reject) as error:
    if len(str(error).splitlines()) > 1:
      raise ValueError(f"more than a line: {error}") from error
    yield "refused"
  else:
    yield "read"


@dataclasses.dataclass(frozen=True)
class Subject:
  """A file that is damaged, and the folder that its reader is given.

  Attributes:
    reader: key of `READERS`.
    file: what is damaged.
    folder: what the reader reads, if that is more than the file.
  """

  reader: str
  file: pathlib.Path
  folder: pathlib.Path | None = None

  @property
  def name(self):
    """For messages."""
    return f"{self.reader} of {self.file.name}"

  def damaged_copy(self, scratch, rng):
    """What the reader is to read: a copy, in the folder `scratch`."""
    scratch.mkdir()
    content = damaged(self.file.read_bytes(), rng)
    if self.folder is None:
      path = scratch / self.file.name
      path.write_bytes(content)
      return path
    path = scratch / self.folder.name
    shutil.copytree(self.folder, path, copy_function=os.link)
    copy = path / self.file.relative_to(self.folder)
    copy.unlink()  # and not the file that the name is linked to
    copy.write_bytes(content)
    return path

  def keep(self, path, kept):
    """Keeps the damaged file of a copy."""
    if self.folder is not None:
      path = path / self.file.relative_to(self.folder)
    shutil.copy(path, kept)


def sources(demo, scratch):
  """{kind: [Subject, ...]} of a finished demo; of "video" only paths.

  Args:
    demo: its folder.
    scratch: a folder on the same disk, for files that the demo lacks.

  Raises:
    UserError: no finished demo is there.
  """
  if not (demo / "report.html").exists():
    raise UserError(
      f"{demo} is no finished demo; run make demo, or give --demo"
    )
  videos = sorted(
    path
    for path in (demo / "corpus" / "held_out").iterdir()
    if path.suffix != ".json"
  )
  return {
    "video": videos,
    "sound": [Subject("sound", path) for path in _sounds(scratch)],
    "picture": [Subject("picture", path) for path in _pictures(demo, scratch)],
    "json": _documents(demo, scratch),
    "table": [Subject("fit", pathlib.Path("docs/scaling_points.csv"))],
    "checkpoint": _checkpoints(demo, scratch),
  }


def _sounds(scratch):
  """A second of noise in several formats."""
  noise_S = 0.1 * np.random.default_rng(0).standard_normal(16_000)
  for name, codec, form in (
    ("a.wav", "pcm_s16le", "s16"),
    ("b.wav", "pcm_f32le", "flt"),
    ("c.mp3", "libmp3lame", "fltp"),
    ("d.flac", "flac", "s16"),
    ("e.ogg", "libopus", "flt"),
    ("f.m4a", "aac", "fltp"),
  ):
    path = scratch / name
    with av.open(os.fspath(path), "w") as file:
      stream = file.add_stream(codec, rate=16_000, layout="mono")
      scale, dtype = (32767, np.int16) if form == "s16" else (1, np.float32)
      samples_1S = (noise_S * scale).astype(dtype)[None]
      frame = av.AudioFrame.from_ndarray(samples_1S, form, "mono")
      frame.sample_rate, frame.pts = 16_000, 0
      frame.time_base = fractions.Fraction(1, 16_000)
      for packet in (*stream.encode(frame), *stream.encode(None)):
        file.mux(packet)
    yield path


def _pictures(demo, scratch):
  image = Image.open(sorted(demo.glob("**/portrait.png"))[0]).convert("RGB")
  exif = Image.Exif()
  exif[0x0112] = 6
  image.save(scratch / "a.jpg", exif=exif)
  image.save(scratch / "b.png")
  image.save(scratch / "c.webp")
  image.quantize(32).save(scratch / "d.png", transparency=3)
  image.convert("LA").save(scratch / "e.png")
  grey_YX = np.asarray(image.convert("L")).astype(np.uint16) * 257
  Image.fromarray(grey_YX).save(scratch / "f.png")
  return [path for path in scratch.iterdir() if path.suffix in _PICTURES]


def _documents(demo, scratch):
  for name, content in (
    ("controls.json", _WISHES),
    ("portrait.json", {"pose": [0.3, 0, 0], "emotion": "happy"}),
  ):
    (scratch / name).write_text(json.dumps(content, indent=1))
  found = sorted((demo / "corpus" / "held_out").glob("*.truth.json"))[0]
  shutil.copy(found, scratch / "video.truth.json")
  small = _small_dataset(demo, scratch)
  exported = scratch / "exported"
  export_folder(demo / "talker", exported)
  return [
    *[Subject("controls", scratch / "controls.json")] * 3,
    Subject("portrait", scratch / "portrait.json"),
    *[Subject("truth", scratch / "video.truth.json")] * 2,
    *[
      Subject(reader, small / name, small)
      for reader, name in (
        ("frames", "manifest.json"),
        ("frames", "features.json"),
        ("frames", "dataset_info.json"),
        ("refilter", "plan.json"),
        ("refilter", "shards/00000.json"),
      )
    ],
    *_parts("tokenizer", demo / "tokenizer" / "tokenizer", "*.json"),
    Subject("run", demo / "talker" / "config.json", demo / "talker"),
    *_parts("import", exported, "*.json"),
  ]


def _small_dataset(demo, scratch):
  """Two clips, prepared."""
  videos = scratch / "videos"
  videos.mkdir()
  held_out = sorted((demo / "corpus" / "held_out").iterdir())
  for path in held_out[:4]:
    shutil.copy(path, videos)
  small = scratch / "small"
  command = [sys.executable, "-m", "launch.prepare", f"--input={videos}"]
  subprocess.run([*command, f"--out={small}", "--size=32"], check=True)
  return small


def _checkpoints(demo, scratch):
  talker = demo / "talker"
  newest = max((talker / "checkpoints").iterdir(), key=lambda p: int(p.name))
  files = [path for path in newest.rglob("*") if path.is_file()]
  return [
    *(Subject("run", path, talker) for path in files),
    *_parts("tokenizer", demo / "tokenizer" / "tokenizer", "*.safetensors"),
    *_parts("import", scratch / "exported", "*.safetensors"),
  ]


def _parts(reader, folder, pattern):
  return [
    Subject(reader, path, folder) for path in sorted(folder.rglob(pattern))
  ]
