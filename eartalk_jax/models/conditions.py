"""Frame Condition In-Context (EARTalking): a frame's signals become tokens.

Each declared control is one token, the audio a few. A signal that is not given
at a frame is that slot's learned null. Nothing here knows any control by name:
declaring one in the config is all it takes.

Dimension key: leading ... batch (and frames), M condition tokens, D width,
F audio features.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from eartalk_jax.layers.products import Dense
from eartalk_jax.models.config import TalkerConfig
from eartalk_jax.models.hearing import Hearing


class Conditions(nn.Module):
  """Signals of a frame -> its condition tokens."""

  cfg: TalkerConfig

  @nn.compact
  def __call__(self, signals):
    """Embeds what is given and puts nulls for the rest: [..., M, D].

    Args:
      signals: Signals; the audio of portraits has no numbers to hear.
    """
    cfg, dtype = self.cfg, jnp.dtype(self.cfg.dtype)
    small = nn.initializers.normal(0.02)
    null_MD = self.param("null", small, (cfg.condition_tokens, cfg.width))
    type_MD = self.param("type", small, (cfg.condition_tokens, cfg.width))
    tokens, given = [], []
    for control in cfg.controls:
      signal = signals.controls[control.name]
      value = signal.value
      if control.kind == "categorical":
        value = jax.nn.one_hot(value.astype(jnp.int32), control.size)
        value = value.reshape(*value.shape[:-2], -1)
      hidden = Dense(cfg.width, dtype=dtype, name=f"{control.name}_in")(value)
      hidden = Dense(cfg.width, dtype=dtype, name=f"{control.name}_out")(
        nn.gelu(hidden)
      )
      tokens.append(hidden[..., None, :])
      given.append(signal.given[..., None])
    tokens.append(self._audio(signals.audio.value))
    given += [signals.audio.given[..., None]] * cfg.audio.tokens
    tokens_MD = jnp.concatenate(tokens, axis=-2)
    given_M1 = jnp.concatenate(given, axis=-1)[..., None]
    lead = (1,) * (tokens_MD.ndim - 2)
    null = null_MD.reshape(lead + null_MD.shape).astype(dtype)
    kind = type_MD.reshape(lead + type_MD.shape).astype(dtype)
    return jnp.where(given_M1, tokens_MD, null) + kind

  def _audio(self, heard):
    if heard.shape[-1]:
      return Hearing(self.cfg, name="hearing")(heard)
    shape = (*heard.shape[:-1], self.cfg.audio.tokens, self.cfg.width)
    return jnp.zeros(shape, self.cfg.dtype)
