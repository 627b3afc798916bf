"""What an encoder does, to look at: a face there and back, a sound's features.

Dimension key: T frames, S samples, A vectors in a frame, F numbers in a vector,
Y X picture.
"""

import dataclasses

import jax
import numpy as np
from matplotlib import pyplot as plt
from PIL import Image

from data_pipelines.corpus.identity import make_identity
from data_pipelines.corpus.motion import EMOTIONS
from data_pipelines.corpus.portrait import Framing, Portrait
from eartalk_jax import files, plotting
from eartalk_jax.evaluation.scores import psnr
from eartalk_jax.spans import FPS, FRAME_SAMPLES, SAMPLE_RATE
from eartalk_jax.speech import features
from eartalk_jax.tokenizers.coding import round_trip

# On a CPU a large video tokenizer takes minutes for a frame of 512 px.
_MOST_ON_CPU = 256
# Vowels by their two lowest formants, in Hz.
_VOWELS = ((730, 1090), (270, 2290), (300, 870), (530, 1840))
_PITCH = 120
_SHOWN = 64  # numbers of a vector that a plot has rows for


def draw_tokenizer(tokenizer, folder):
  """Writes round_trip.png: frames above, what came back below.

  Returns:
    One line about it.
  """
  size = tokenizer.picture_shape[0]
  if jax.default_backend() == "cpu" and size > _MOST_ON_CPU:
    tokenizer = _smaller(tokenizer)
    size = tokenizer.picture_shape[0]
  frames_TYX3 = talking_face(size, 1 + 2 * tokenizer.stride)
  back_TYX3 = round_trip(tokenizer, frames_TYX3[None])[0]
  shown = np.linspace(1, len(frames_TYX3) - 1, 4).astype(int)
  rows = [np.concatenate(x[shown], 1) for x in (frames_TYX3, back_TYX3)]
  with files.replacing(folder / "round_trip.png") as temporary:
    Image.fromarray(np.concatenate(rows)).save(temporary, format="png")
  decibels = psnr(back_TYX3[1:], frames_TYX3[1:])
  return (
    f"round_trip.png: a drawn face of {size} px comes back at {decibels:.1f} dB"
  )


def _smaller(tokenizer):
  """The same network for smaller pictures, where a kind's config has a size."""
  if not hasattr(tokenizer.config, "size"):
    return tokenizer
  config = dataclasses.replace(tokenizer.config, size=_MOST_ON_CPU)
  return dataclasses.replace(tokenizer, config=config)


def talking_face(size, frames, seed=3):
  """A drawn face that speaks and turns, uint8 [T Y X 3]."""
  framing = Framing(size, size, middle=(0.5, 0.46), face=0.6)
  portrait = Portrait(make_identity(np.random.default_rng(seed)), framing)
  calm_E = np.eye(len(EMOTIONS))[0]
  pictures = []
  for frame in range(frames):
    opening = 0.5 - 0.5 * np.cos(2 * np.pi * frame / 6)
    mouth_3 = np.array([opening, 0.5, 0.3])
    pose_3 = (0.3 * np.sin(frame / 6), 0.0, 0.0)
    picture_YX4 = portrait.draw(mouth_3, pose_3, 0.0, np.zeros(2), calm_E)
    pictures.append(picture_YX4[..., :3].copy())
  return np.stack(pictures)


def draw_speech(speech, folder):
  """Writes features.png: a sound above, its features below.

  Returns:
    One line about it.
  """
  samples_S = vowels(3.0)
  features_TAF = features(speech, samples_S)
  vectors_TF = features_TAF.reshape(-1, speech.shape[1])
  numbers = speech.shape[1]
  rows = min(_SHOWN, numbers)
  chosen = np.linspace(0, numbers - 1, rows).astype(int)
  seconds = len(samples_S) / SAMPLE_RATE
  with plt.rc_context(plotting.STYLE):
    figure, (above, below) = plt.subplots(
      2, 1, figsize=(9, 5), sharex=True, height_ratios=(1, 3)
    )
    times_S = np.arange(len(samples_S)) / SAMPLE_RATE
    above.plot(times_S, samples_S, color=plotting.TRUTH, linewidth=0.5)
    above.set_ylabel("sound")
    shown_FT = vectors_TF[:, chosen].T
    middle, spread = np.median(shown_FT, 1), shown_FT.std(1) + 1e-6
    below.imshow(
      (shown_FT - middle[:, None]) / spread[:, None],
      aspect="auto",
      extent=(0, seconds, 0, len(chosen)),
      vmin=-2.5,
      vmax=2.5,
      cmap="BrBG",
    )
    below.grid(False)
    below.set_xlabel("seconds")
    below.set_ylabel(f"{rows} of {numbers} numbers")
    plotting.save(folder / "features.png", figure)
  return (
    f"features.png: {seconds:g} s of vowels and pauses make "
    f"{list(features_TAF.shape)}"
  )


def vowels(seconds):
  """Four vowels with pauses between, float32 [S] in [-1, 1]."""
  frames = round(seconds * FPS)
  time_S = np.arange(frames * FRAME_SAMPLES) / SAMPLE_RATE
  part_S = np.minimum(
    (time_S / seconds * len(_VOWELS)).astype(int), len(_VOWELS) - 1
  )
  formants_S2 = np.array(_VOWELS)[part_S]
  sound_S = np.zeros(len(time_S))
  for harmonic in range(1, 30):
    pitch = harmonic * _PITCH
    # A resonance at each formant, 90 Hz wide.
    gain_S2 = 1 / (1 + np.square((pitch - formants_S2) / 90))
    sound_S += gain_S2.sum(1) * np.sin(2 * np.pi * pitch * time_S)
  within_S = time_S * len(_VOWELS) / seconds % 1
  sound_S *= np.sin(np.pi * np.minimum(within_S / 0.7, 1)) ** 0.5
  return (0.5 * sound_S / np.abs(sound_S).max()).astype(np.float32)
