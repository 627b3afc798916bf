"""Log-mel features of speech: four steps for every video frame.

  step j   is centred on its hop: samples 160 j - 120 .. 160 j + 280 at 16 kHz
  mel_j  = filters . |rfft(hann * window_j)|^2          (librosa's definition)
  out_j  = (log(max(mel_j, 1e-5)) - MEAN) / SCALE

Samples before the beginning and after the end are zero. A clip of S samples
has T = round(S / 640) frames. The whole of a clip and the same clip in pieces
give the same bits, because one is computed by the other (`MelStream`).

Dimension key:  T frames, A mel steps in a frame, F mel bins, S samples.
"""

import dataclasses
import functools

import librosa
import numpy as np

from eartalk_jax.bounds import array, integer
from eartalk_jax.errors import UserError

FLOOR = 1e-5
# Centre and spread of log-mel of speech, so that features are of unit scale.
MEAN, SCALE = -5.0, 4.0
# The feature of digital silence; stands for whatever is outside of a clip.
SILENCE = np.float32((np.log(FLOOR) - MEAN) / SCALE)
# Floats of speech lie in [-1, 1], loud ones and resampled ones a little beyond.
# Whoever leaves 16-bit samples undivided is far beyond.
LOUDEST = 8.0
# Frames transformed at once: bounds the memory, changes no bit.
_BLOCK = 256


@dataclasses.dataclass(frozen=True)
class AudioFeatures:
  """What a mel feature is: rates in Hz, lengths in samples."""

  sample_rate: int = 16_000
  fps: int = 25
  hop: int = 160
  n_fft: int = 400
  bins: int = 80

  def __post_init__(self):
    if self.sample_rate % (self.fps * self.hop):
      raise ValueError(
        f"a frame of {self.sample_rate}/{self.fps} samples is not a whole "
        f"number of {self.hop}-sample hops"
      )

  @property
  def frame_samples(self):
    """Samples in a video frame."""
    return self.sample_rate // self.fps

  @property
  def steps(self):
    """Mel steps in a video frame (A)."""
    return self.frame_samples // self.hop

  @property
  def margin(self):
    """Samples that a window reaches out of its hop, on either side."""
    return (self.n_fft - self.hop) // 2


def frame_count(samples, spec=AudioFeatures()):
  """Video frames of a clip with that many audio samples: the nearest number."""
  return round(samples / spec.frame_samples)


def log_mel(samples_S, spec=AudioFeatures()):
  """Features of a whole clip, float32 [T, A, F].

  Args:
    samples_S: mono, float in [-1, 1] or int16.
    spec: what to compute.

  Raises:
    UserError: a sample is NaN, infinite, or far beyond [-1, 1].
  """
  stream = MelStream(spec)
  return np.concatenate([stream.push(samples_S), stream.flush()])


class MelStream:
  """The same features while the samples arrive; 7.5 ms behind the frame."""

  def __init__(self, spec=AudioFeatures()):
    self.spec = spec
    self._restart()

  def _restart(self):
    self._buffer_S = np.zeros(self.spec.margin, np.float32)
    self._samples = 0  # received so far
    self._frames = 0  # returned so far

  def push(self, samples_S):
    """Takes the next samples; returns every frame now computable, [t, A, F]."""
    samples_S = _as_float(samples_S)
    self._buffer_S = np.concatenate([self._buffer_S, samples_S])
    self._samples += len(samples_S)
    spec = self.spec
    known = self._samples - spec.margin
    return self._take(max(known // spec.frame_samples, self._frames))

  def flush(self):
    """Ends the clip; returns its last frames and is ready for another clip."""
    frames = frame_count(self._samples, self.spec)
    zeros_S = np.zeros(self.spec.frame_samples + self.spec.n_fft, np.float32)
    self._buffer_S = np.concatenate([self._buffer_S, zeros_S])
    mel_tAF = self._take(frames)
    self._restart()
    return mel_tAF

  def save(self):
    """All that it remembers."""
    return {
      "buffer": self._buffer_S,
      "samples": self._samples,
      "frames": self._frames,
    }

  def load(self, saved):
    """Goes on where `saved` was taken; UserError if it does not fit."""
    samples = integer(saved["samples"], "samples", 0, None)
    frames = integer(saved["frames"], "frames", 0, None)
    kept = self.spec.margin + samples - frames * self.spec.frame_samples
    self._buffer_S = array(saved["buffer"], "samples", np.float32, kept)
    self._samples, self._frames = samples, frames

  def _take(self, frames):
    """Computes up to frame number `frames` and forgets samples of the past."""
    blocks = [np.zeros((0, self.spec.steps, self.spec.bins), np.float32)]
    while self._frames < frames:
      count = min(_BLOCK, frames - self._frames)
      blocks.append(_mel(self._buffer_S, count, self.spec))
      self._buffer_S = self._buffer_S[count * self.spec.frame_samples :]
      self._frames += count
    return np.concatenate(blocks)


def frame_context(mel_TAF, past, ahead):
  """Joins to each frame its neighbours t-past..t+ahead: [T, (p+1+a)*A*F].

  Outside of the clip there is digital silence.
  """
  frames = len(mel_TAF)
  padded_TAF = np.pad(
    mel_TAF, ((past, ahead), (0, 0), (0, 0)), constant_values=SILENCE
  )
  index_TP = np.arange(frames)[:, None] + np.arange(past + 1 + ahead)
  return padded_TAF[index_TP].reshape(frames, -1)


def _as_float(samples_S):
  samples_S = np.asarray(samples_S)
  if samples_S.ndim != 1:
    raise ValueError(f"mono samples [S] expected, not {samples_S.shape}")
  if samples_S.dtype == np.int16:
    return samples_S.astype(np.float32) / 32768
  if not np.isfinite(samples_S).all():
    raise UserError(
      "the audio holds NaN or infinite samples; repair or re-export the file"
    )
  loudest = np.abs(samples_S).max(initial=0)
  if loudest > LOUDEST:
    raise UserError(
      f"the audio holds a sample of {loudest:g}, but floats lie in [-1, 1]; "
      "divide 16-bit samples by 32768"
    )
  return samples_S.astype(np.float32)


def _mel(buffer_S, frames, spec):
  """The first `frames` frames of a buffer that starts `margin` before them."""
  steps = frames * spec.steps
  windows_SN = np.lib.stride_tricks.sliding_window_view(buffer_S, spec.n_fft)
  windows_SN = windows_SN[: steps * spec.hop : spec.hop]
  hann_N, filters_NF = _tables(spec)
  # In float64: beside a loud tone float32 would lose what is quiet.
  spectrum_SN = np.fft.rfft(windows_SN * hann_N)
  power_SN = np.square(spectrum_SN.real) + np.square(spectrum_SN.imag)
  # A stack of products of one fixed shape: the rounding of a matrix product
  # depends on its shape, and must not depend on how many frames came at once.
  power_TAN = power_SN.reshape(frames, spec.steps, -1)
  mel_TAF = np.matmul(power_TAN, filters_NF)
  mel_TAF = (np.log(np.maximum(mel_TAF, FLOOR)) - MEAN) / SCALE
  return mel_TAF.astype(np.float32)


@functools.cache
def _tables(spec):
  phase_N = 2 * np.pi * np.arange(spec.n_fft) / spec.n_fft
  hann_N = 0.5 - 0.5 * np.cos(phase_N)
  filters_FN = librosa.filters.mel(
    sr=spec.sample_rate, n_fft=spec.n_fft, n_mels=spec.bins, dtype=np.float64
  )
  return hann_N, np.ascontiguousarray(filters_FN.T)
