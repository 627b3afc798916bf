"""The log-mel spectrogram that Whisper hears.

  frame m   is centred on sample 160 m; beyond either end the sound is mirrored
  mel_m     = filters . |DFT(hann * frame_m)|^2      (Slaney's, 0 to 8 kHz)
  out_m     = (max(log10 mel_m, loudest of the window - 8) + 4) / 4

Dimension key: B windows, S samples, M frames, N samples of a frame, K
frequencies, F mel bins.
"""

import functools

import jax.numpy as jnp
import librosa
import numpy as np
from jax import lax

from eartalk_jax.spans import SAMPLE_RATE

HOP, N_FFT = 160, 400
_FLOOR, _RANGE = 1e-10, 8.0


def log_mel(samples_BS, bins):
  """[B S] -> [B M F], M = S // 160."""
  frames = samples_BS.shape[1] // HOP
  half = N_FFT // 2
  samples_BS = jnp.pad(samples_BS, ((0, 0), (half, half)), mode="reflect")
  index_MN = np.arange(frames)[:, None] * HOP + np.arange(N_FFT)
  hann_N, filters_KF = _tables(bins)
  frames_BMN = samples_BS[:, index_MN] * jnp.asarray(hann_N)[None, None]
  spectrum_BMK = jnp.fft.rfft(frames_BMN)
  power_BMK = jnp.square(spectrum_BMK.real) + jnp.square(spectrum_BMK.imag)
  mel_BMF = jnp.matmul(power_BMK, filters_KF, precision=lax.Precision.HIGHEST)
  log_BMF = jnp.log10(jnp.maximum(mel_BMF, _FLOOR))
  loudest_B11 = log_BMF.max((1, 2), keepdims=True)
  return (jnp.maximum(log_BMF, loudest_B11 - _RANGE) + 4) / 4


@functools.cache
def _tables(bins):
  phase_N = 2 * np.pi * np.arange(N_FFT) / N_FFT
  hann_N = (0.5 - 0.5 * np.cos(phase_N)).astype(np.float32)
  filters_FK = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=bins)
  return hann_N, np.ascontiguousarray(filters_FK.T, np.float32)
