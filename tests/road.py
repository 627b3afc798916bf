"""The whole road with encoders from elsewhere: data, training, streams, film.

Faces are grey; they flash while the speech beeps, so lips are replaced by light
and what is heard late is seen late.

Dimension key: T frames, S samples, Y X picture.
"""

import argparse
import wave

import av
import numpy as np
import tensorflow_datasets as tfds
from autoencoders import CONFIG, random_params
from PIL import Image

from configs import base
from data_pipelines import shards
from data_pipelines.tokenize import tokenize
from eartalk_jax.checkpoints.checkpoint_reading import load_ema
from eartalk_jax.generate import load_generator
from eartalk_jax.jobs.talker import train
from eartalk_jax.spans import FRAME_SAMPLES
from eartalk_jax.streaming import Streams
from eartalk_jax.tokenizers.patches import PatchTokenizer
from eartalk_jax.tokenizers.storing import save_tokenizer
from launch import evaluate, sample

DARK, LIGHT = 60, 200


def beeps(frames, seed):
  """(samples_S int16, beeping_T bool): a tone that comes and goes."""
  rng = np.random.default_rng(seed)
  beeping_T = np.repeat(rng.random(frames) < 0.5, 3)[:frames]
  seconds_S = np.arange(frames * FRAME_SAMPLES) / 16_000
  tone_S = 0.5 * np.sin(2 * np.pi * 440 * seconds_S)
  samples_S = tone_S * np.repeat(beeping_T, FRAME_SAMPLES)
  return (samples_S * 32767).astype(np.int16), beeping_T


def patches():
  """Our own tokenizer of 16 px, of random weights."""
  zeros_C = np.zeros(CONFIG.channels, np.float32)
  return PatchTokenizer(CONFIG, random_params(), zeros_C, np.float32(1))


def _tensor(dtype, *shape):
  return tfds.features.Tensor(dtype=dtype, shape=shape, encoding="bytes")


def write_frames(directory, size, clips=8, frames=29):
  """A frames dataset of flashing squares with no truth."""
  directory.mkdir(parents=True)
  features = {
    "clip_id": tfds.features.Text(),
    "frames": _tensor(np.uint8, None, size, size, 3),
    "audio": _tensor(np.int16, None),
  }
  records = []
  for number in range(clips):
    audio_S, beeping_T = beeps(frames, number)
    grey_T = np.where(beeping_T, LIGHT, DARK).astype(np.uint8)
    grey_TYX3 = np.broadcast_to(
      grey_T[:, None, None, None], (frames, size, size, 3)
    )
    records.append(
      {"clip_id": f"{number}", "frames": grey_TYX3, "audio": audio_S}
    )
  path = shards.shard_path(directory, "frames", 0, 1)
  manifest = {
    "kind": "frames",
    "config": {"size": size},
    "shards": [shards.write_shard(path, features, records)],
    "categories": {},
    "track_sizes": {},
  }
  shards.finish_dataset(directory, features, manifest)
  return shards.open_dataset(directory, "frames")


class Road:
  """A folder with frames, tokens and a talker of some tokenizer and speech."""

  def __init__(self, root, tokenizer, speech, recipe="ear", **model):
    self.root, self.tokenizer, self.speech = root, tokenizer, speech
    self._recipe = recipe
    self.frames = write_frames(root / "frames", tokenizer.picture_shape[0])
    save_tokenizer(root / "tokenizer", tokenizer)
    tokenize(self.frames, tokenizer, speech, root / "tokens")
    self._model = model

  def config(self, steps):
    c = base.get_config()
    c.tokenizer = str(self.root / "tokenizer")
    c.recipe.kind = self._recipe
    c.data = {"tokens": str(self.root / "tokens"), "frames": 3}
    model = c.model
    model.latent_shape = self.tokenizer.latent_shape
    model.stride, model.patch = self.tokenizer.stride, 2
    model.width, model.depth, model.heads, model.window = 32, 1, 2, 2
    model.audio.past, model.audio.ahead = 0, 0
    model.audio.tokens, model.controls = 1, []
    head = model.head
    head.width, head.depth, head.heads, head.rank = 32, 1, 2, 8
    head.draws, head.temperature = 1, 0.0
    model.dtype, model.remat = "float32", False
    c.model.update(self._model)
    run = c.run
    run.steps, run.batch_size, run.seed = steps, 16, 0
    run.optimizer.matrices, run.optimizer.decay = "adam", "constant"
    run.optimizer.peak_lr, run.optimizer.warmup_steps = 3e-3, 1
    run.ema_decay, run.log_every, run.diagnose_every = 0.9, 50, 10**6
    run.save_every = 10**6
    return c

  def train(self, *steps, name="talker"):
    """Trains to each number of steps in turn; returns the averaged weights."""
    for count in steps:
      train(self.config(count), self.root / name)
    return load_ema(self.root / name)[1]

  def generator(self):
    return load_generator(self.root / "talker")

  def film(self, samples_S):
    """The grey of each frame of the mp4 that launch.sample makes."""
    portrait, speech = self.root / "face.png", self.root / "speech.wav"
    size = self.tokenizer.picture_shape
    Image.fromarray(np.full((*size, 3), DARK, np.uint8)).save(portrait)
    with wave.open(str(speech), "wb") as file:
      file.setparams((1, 2, 16_000, 0, "NONE", ""))
      file.writeframes(samples_S.tobytes())
    words = f"--checkpoint {self.root / 'talker'} --faces whole --portrait "
    words += f"{portrait} --audio {speech} --out {self.root / 'film.mp4'}"
    sample.main(words.split())
    with av.open(str(self.root / "film.mp4")) as film:
      frames = [f.to_ndarray(format="rgb24") for f in film.decode(video=0)]
    return np.stack(frames).mean((1, 2, 3))

  def stream(self, samples_S, cut):
    """The same of a live stream that is saved and restored on its way."""
    streams = Streams(self.generator(), slots=2)
    size = self.tokenizer.picture_shape
    stream = streams.open(np.full((*size, 3), DARK, np.uint8))
    stream.push(samples_S[:cut])
    frames = [stream.pull()]
    saved = stream.save()
    stream.close()
    stream = streams.restore(saved)
    stream.push(samples_S[cut:])
    frames.append(stream.pull())
    stream.finish()
    frames.append(stream.pull())
    return np.concatenate(frames).mean((1, 2, 3))

  def evaluate(self):
    args = argparse.Namespace(
      data="held out", out=self.root, clips=3, frames=25, seed=0, probe=None
    )
    return evaluate.evaluate(args, self.generator(), self.frames, 3)
