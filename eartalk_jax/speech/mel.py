"""The encoder `mel`: log-mel features, four vectors for every video frame.

  vector j  is centred on its hop: samples 160 j - 120 .. 160 j + 280 at 16 kHz
  mel_j     = filters . |rfft(hann * window_j)|^2       (librosa's definition)
  out_j     = (log(max(mel_j, 1e-5)) - MEAN) / SCALE

Dimension key:  B streams, T frames, A vectors in a frame, N spectrum, F mel
bins, S samples or steps.
"""

import dataclasses
import functools

import librosa
import numpy as np

from eartalk_jax.bounds import shown
from eartalk_jax.config import check_range, from_config, to_dict
from eartalk_jax.errors import UserError
from eartalk_jax.files import sha256_of_json
from eartalk_jax.spans import FRAME_SAMPLES, SAMPLE_RATE

HOP, N_FFT = 160, 400
FLOOR = 1e-5
# Centre and spread of log-mel of speech, so that features are of unit scale.
MEAN, SCALE = -5.0, 4.0
# The feature of digital silence.
SILENCE = np.float32((np.log(FLOOR) - MEAN) / SCALE)
_BINS = 80


@dataclasses.dataclass(frozen=True)
class MelConfig:
  """`bins` numbers in a vector."""

  bins: int = _BINS

  def __post_init__(self):
    check_range(self, 1, 4096, "bins")


@dataclasses.dataclass(frozen=True)
class Mel:
  """The Speech; see the package."""

  config: MelConfig = MelConfig()

  kind = "mel"
  params = {}
  before = after = (N_FFT - HOP) // 2
  step = None

  @property
  def shape(self):
    """(A, F)."""
    return FRAME_SAMPLES // HOP, self.config.bins

  @property
  def fingerprint(self):
    """Of the configuration: there are no weights."""
    return sha256_of_json([self.kind, to_dict(self.config)])

  @property
  def silence_AF(self):
    """Digital silence."""
    return np.full(self.shape, SILENCE, np.float32)

  def apply(self, params, samples_BS):
    """In numpy: the bits do not depend on how many frames come at once."""
    del params
    return np.stack([_mel(samples_S, self.config) for samples_S in samples_BS])


def load(config, arrays):
  """The encoder of a configuration; it has no weights.

  Raises:
    UserError: there is no such configuration.
  """
  if arrays:
    raise UserError(f"mel has no weights such as {shown(min(arrays))}")
  return Mel(from_config(MelConfig, config, "config"))


def named(bins):
  """The encoder of "mel:BINS"; "" is the usual number.

  Raises:
    UserError: it is no number of mel bins.
  """
  try:
    return Mel(MelConfig(int(bins or _BINS)))
  except ValueError:
    raise UserError(
      f"mel:{bins}: give a number of mel bins from 1 to 4096, such as mel:80"
    ) from None


def _mel(samples_S, config):
  """The features of a window, [T A F]."""
  shape = (-1, FRAME_SAMPLES // HOP, N_FFT // 2 + 1)
  windows_SN = np.lib.stride_tricks.sliding_window_view(samples_S, N_FFT)
  hann_N, filters_NF = _tables(config)
  # In float64: beside a loud tone float32 would lose what is quiet.
  spectrum_SN = np.fft.rfft(windows_SN[::HOP] * hann_N)
  power_SN = np.square(spectrum_SN.real) + np.square(spectrum_SN.imag)
  # A stack of products of one fixed shape: the rounding of a matrix product
  # depends on its shape, and must not depend on how many frames came at once.
  mel_TAF = np.matmul(power_SN.reshape(shape), filters_NF)
  mel_TAF = (np.log(np.maximum(mel_TAF, FLOOR)) - MEAN) / SCALE
  return mel_TAF.astype(np.float32)


@functools.cache
def _tables(config):
  phase_N = 2 * np.pi * np.arange(N_FFT) / N_FFT
  hann_N = 0.5 - 0.5 * np.cos(phase_N)
  filters_FN = librosa.filters.mel(
    sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=config.bins, dtype=np.float64
  )
  return hann_N, np.ascontiguousarray(filters_FN.T)
