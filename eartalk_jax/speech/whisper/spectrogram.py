"""The log-mel spectrogram that Whisper hears.

  frame m   is centred on sample 160 m; beyond either end the sound is mirrored
  mel_m     = filters . |DFT(hann * frame_m)|^2      (Slaney's, 0 to 8 kHz)
  out_m     = (max(log10 mel_m, loudest of the window - 8) + 4) / 4

The transform of 400 samples is made of two of 20, as products of matrices: in
float32 these lose less than one of 400, and every machine has them.

  n = 20 x + y,  k = u + 20 v
  X_k = sum_y e(y v / 20) e(y u / 400) sum_x e(x u / 20) x_n,
                                               e(t) = exp(-2 pi i t)

Dimension key: B windows, S samples, M frames, N samples of a frame, x y u v 20
each (v 11: the rest mirrors them), K frequencies, F mel bins.
"""

import functools

import jax.numpy as jnp
import librosa
import numpy as np
from jax import lax

from eartalk_jax.spans import SAMPLE_RATE

HOP, N_FFT = 160, 400
_HALF = N_FFT // 2
_SIDE = 20
_FLOOR, _RANGE = 1e-10, 8.0
_EXACT = lax.Precision.HIGHEST


def log_mel(samples_BS, bins, frames):
  """[B S] -> [B M F].

  Args:
    samples_BS: sound, at most 160 M samples; after it is silence.
    bins: F.
    frames: M.
  """
  samples = samples_BS.shape[1]
  # Frames that reach into the sound; those after them hear nothing.
  heard = min(frames, -(-(samples + _HALF) // HOP))
  after = ((0, 0), (0, frames * HOP - samples))
  around = ((0, 0), (_HALF, _HALF))
  samples_BS = jnp.pad(jnp.pad(samples_BS, after), around, mode="reflect")
  index_MN = np.arange(heard)[:, None] * HOP + np.arange(N_FFT)
  hann_N, filters_KF = _tables(bins)
  power_BMK = _power(samples_BS[:, index_MN] * jnp.asarray(hann_N)[None, None])
  mel_BMF = jnp.matmul(power_BMK, filters_KF, precision=_EXACT)
  mel_BMF = jnp.pad(mel_BMF, ((0, 0), (0, frames - heard), (0, 0)))
  log_BMF = jnp.log10(jnp.maximum(mel_BMF, _FLOOR))
  loudest_B11 = log_BMF.max((1, 2), keepdims=True)
  return (jnp.maximum(log_BMF, loudest_B11 - _RANGE) + 4) / 4


def _power(frames_BMN):
  """The squares of the spectrum, [B M K]."""
  product = functools.partial(jnp.einsum, precision=_EXACT)
  side = np.arange(_SIDE)
  x_BMxy = frames_BMN.reshape(*frames_BMN.shape[:2], _SIDE, _SIDE)
  cos_xu, sin_xu = _turns(np.outer(side, side) / _SIDE)
  real, imag = (
    product("BMxy,xu->BMuy", x_BMxy, table) for table in (cos_xu, sin_xu)
  )
  cos, sin = (x[None, None] for x in _turns(np.outer(side, side) / N_FFT))
  real, imag = real * cos - imag * sin, real * sin + imag * cos
  cos_yv, sin_yv = _turns(np.outer(side, side[: _SIDE // 2 + 1]) / _SIDE)

  def last(x_BMuy, table_yv):
    return product("BMuy,yv->BMvu", x_BMuy, table_yv)

  real, imag = (
    last(real, cos_yv) - last(imag, sin_yv),
    last(real, sin_yv) + last(imag, cos_yv),
  )
  power_BMvu = jnp.square(real) + jnp.square(imag)
  return power_BMvu.reshape(*frames_BMN.shape[:2], -1)[..., : _HALF + 1]


def _turns(turns):
  """Real and imaginary part of e(turns)."""
  angle = -2 * np.pi * turns
  return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


@functools.cache
def _tables(bins):
  phase_N = 2 * np.pi * np.arange(N_FFT) / N_FFT
  hann_N = (0.5 - 0.5 * np.cos(phase_N)).astype(np.float32)
  filters_FK = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=bins)
  return hann_N, np.ascontiguousarray(filters_FK.T, np.float32)
