"""The kind `pair`: one tokenizer encodes, another one decodes.

As KL's encoder with TAESD's decoder, or Wan's with TAEHV's: latents are those
of the first, statistics too, and the second is one that was trained to decode
them. Between the two they are normalised. Each half is kept without what the
pair never runs.

Dimension key: B clips, Y X picture, h w latent grid, C channels.
"""

import dataclasses
import functools
from typing import Any

from eartalk_jax.config import from_config, nearest, to_dict
from eartalk_jax.errors import UserError
from eartalk_jax.tokenizers import pretrained
from eartalk_jax.tokenizers.hashing import fingerprint_of

# Parts of a network that a half does not run.
_UNUSED = {
  "encoder": ("decoder", "post_quant_conv"),
  "decoder": ("encoder", "quant_conv"),
}
_ALIKE = "stride", "latent_shape", "picture_shape"


@dataclasses.dataclass(frozen=True)
class Half:
  """A tokenizer, as its own tokenizer.json describes it."""

  kind: str
  config: dict


@dataclasses.dataclass(frozen=True)
class Config:
  """Both tokenizers."""

  encoder: Half
  decoder: Half


@dataclasses.dataclass(frozen=True, eq=False)
class PairTokenizer:
  """The Tokenizer; see the package.

  Attributes:
    encoder, decoder: Tokenizers; only `params` has their weights, by these two
      names.
    params: weights.
  """

  encoder: Any
  decoder: Any
  params: Any

  kind = "pair"

  @property
  def config(self):
    """Config."""
    return Config(_half(self.encoder), _half(self.decoder))

  @property
  def stride(self):
    """s, of both."""
    return self.encoder.stride

  @property
  def delay(self):
    """The decoder's."""
    return self.decoder.delay

  @property
  def picture_shape(self):
    """(Y, X), of both."""
    return self.encoder.picture_shape

  @property
  def latent_shape(self):
    """(h, w, C), of both."""
    return self.encoder.latent_shape

  @property
  def mean_C(self):
    """The encoder's."""
    return self.encoder.mean_C

  @property
  def std_C(self):
    """The encoder's."""
    return self.encoder.std_C

  @functools.cached_property
  def fingerprint(self):
    """sha256 over both."""
    return fingerprint_of([self.kind, self.config], self.arrays())

  def arrays(self):
    """All numbers by name, those of a half below its name."""
    arrays = {}
    for name in _UNUSED:
      half = dataclasses.replace(getattr(self, name), params=self.params[name])
      arrays |= {f"{name}/{path}": x for path, x in half.arrays().items()}
    return arrays

  def encode_portrait(self, params, picture_BYX3):
    """See `Tokenizer`."""
    return self.encoder.encode_portrait(params["encoder"], picture_BYX3)

  def init_encode(self, params, portrait_BYX3):
    """See `Tokenizer`."""
    return self.encoder.init_encode(params["encoder"], portrait_BYX3)

  def encode_step(self, params, state, frames_BsYX3):
    """See `Tokenizer`."""
    return self.encoder.encode_step(params["encoder"], state, frames_BsYX3)

  def init_decode(self, params, portrait_BYX3, portrait_BhwC):
    """See `Tokenizer`."""
    return self.decoder.init_decode(
      params["decoder"], portrait_BYX3, portrait_BhwC
    )

  def decode_step(self, params, state, latent_BhwC):
    """See `Tokenizer`."""
    return self.decoder.decode_step(params["decoder"], state, latent_BhwC)


def _half(tokenizer):
  return Half(tokenizer.kind, to_dict(tokenizer.config))


def paired(encoder, decoder):
  """A Tokenizer that encodes as one and decodes as another.

  Args:
    encoder, decoder: Tokenizers of kinds whose networks have parts of these
      names: all that come from elsewhere do.

  Raises:
    UserError: the latents of one cannot be those of the other.
  """
  for name in _ALIKE:
    one, other = getattr(encoder, name), getattr(decoder, name)
    if one != other:
      raise UserError(
        f"the encoder {encoder.kind!r} has {name} {one} and the decoder "
        f"{decoder.kind!r} has {other}; give a decoder of the same latents and "
        "pictures"
      )
  halves, params = [], {}
  for (name, unused), half in zip(
    _UNUSED.items(), (encoder, decoder), strict=True
  ):
    if not isinstance(half, pretrained.Pretrained):
      raise UserError(
        f"a tokenizer of kind {half.kind!r} cannot be half of a pair; give one "
        "that was imported"
      )
    params[name] = {
      part: tree for part, tree in half.params.items() if part not in unused
    }
    halves.append(dataclasses.replace(half, params=None))
  return PairTokenizer(*halves, params)


class Pairs:
  """The Kind `pair` of other kinds."""

  def __init__(self, kinds):
    """`kinds`: {name: Kind}, of the halves."""
    self._kinds = kinds

  def load(self, config, arrays):
    """The tokenizer of a configuration in JSON and all of its arrays.

    Raises:
      UserError: they do not belong together.
    """
    config = from_config(Config, config)
    halves = {}
    for name, unused in _UNUSED.items():
      half, prefix = getattr(config, name), f"{name}/"
      own = {
        path.removeprefix(prefix): array
        for path, array in arrays.items()
        if path.startswith(prefix)
      }
      kind = self._kind(half)
      halves[name] = pretrained.load(kind, half.config, own, unused)
    strange = [
      path for path in arrays if not path.startswith(("encoder/", "decoder/"))
    ]
    if strange:
      raise UserError("its weights are not those that tokenizer.json describes")
    return paired(**halves)

  def abstract(self, config):
    """The tokenizer with shapes for weights."""
    halves = {}
    for name in _UNUSED:
      half = getattr(config, name)
      kind = self._kind(half)
      halves[name] = kind.abstract(from_config(kind.Config, half.config))
    return paired(**halves)

  def _kind(self, half):
    """The module of a half's kind, one whose weights come from elsewhere."""
    known = {
      name: kind
      for name, kind in self._kinds.items()
      if hasattr(kind, "PUBLISHED") and kind is not self
    }
    if half.kind not in known:
      raise UserError(
        f"a half of the pair is of kind {half.kind!r}; "
        f"{nearest(half.kind, known)}"
      )
    return known[half.kind]
