"""The encoders that a proof is for: by a published name, without weights.

wan2.1             a published configuration, shapes in the place of weights,
                   for pictures of the size that the model's latents need
runs/tokenizer     the folder of one
"""

import contextlib
import dataclasses
import pathlib

from eartalk_jax import speech as speeches
from eartalk_jax import tokenizers
from eartalk_jax.config import nearest
from eartalk_jax.errors import UserError
from eartalk_jax.tokenizers.storing import load_tokenizer


@dataclasses.dataclass(frozen=True)
class Encoders:
  """What is proven besides the model.

  Attributes:
    tokenizer, speech: a published name or a folder; "" to leave it out.
    streams: how many streams there are on a device.
  """

  tokenizer: str = ""
  speech: str = ""
  streams: int = 1


def published(kinds):
  """{published name: (module of its kind, configuration)}."""
  return {
    name: (kind, config)
    for kind in kinds.values()
    for name, config in getattr(kind, "PUBLISHED", {}).items()
  }


def tokenizer_for(text, model):
  """The Tokenizer of that name or folder.

  Args:
    text: see the module.
    model: TalkerConfig, whose latents it must make.

  Raises:
    UserError: there is none, or it makes other latents.
  """
  found = _tokenizer(text, model.latent_shape)
  made = found.stride, tuple(found.latent_shape)
  if made != (model.stride, tuple(model.latent_shape)):
    raise UserError(
      f"--tokenizer {text}: its latents are {made[1]}, each of {made[0]} "
      f"frames; config.model has latent_shape {model.latent_shape} and stride "
      f"{model.stride}: change these or name another tokenizer"
    )
  return found


def _tokenizer(text, latent_shape):
  known = published(tokenizers.KINDS)
  if text not in known:
    _check_folder(text, "tokenizer", known)
    return load_tokenizer(text)
  kind, config = known[text]
  size = config.size * latent_shape[0] // config.latent_shape[0]
  with contextlib.suppress(ValueError):  # no picture has so many whole latents
    sized = dataclasses.replace(config, size=size)
    if sized.latent_shape == tuple(latent_shape):
      config = sized
  return kind.abstract(config)


def speech_for(text):
  """The Speech of that name ("mel:80" as well) or folder.

  Raises:
    UserError: there is none.
  """
  known = published(speeches.KINDS)
  if text in known:
    kind, config = known[text]
    return kind.abstract(config)
  if text.partition(":")[0] != "mel":
    _check_folder(text, "speech", known)
  return speeches.open_speech(text)


def _check_folder(text, flag, known):
  if not pathlib.Path(text).is_dir():
    raise UserError(
      f"--{flag} {text}: no such folder, and none published by that name "
      f"({nearest(text, known) if known else 'none is known'})"
    )


def hearing(model, speech, text):
  """The TalkerConfig that hears what a Speech makes.

  Raises:
    UserError: it says that it hears something else.
  """
  audio, made = model.audio, tuple(speech.shape)
  said = audio.steps or made[0], audio.bins or made[1]
  if said != made:
    raise UserError(
      f"--speech {text}: it makes {made[0]} vectors of {made[1]} numbers for a "
      f"frame; config.model.audio has steps={audio.steps} and "
      f"bins={audio.bins}: change these or name another encoder"
    )
  try:
    audio = dataclasses.replace(audio, steps=made[0], bins=made[1])
  except ValueError as error:
    raise UserError(
      f"--speech {text}: config.model.audio: {error}; set model.audio.states "
      "to how many its vectors are made of"
    ) from error
  return dataclasses.replace(model, audio=audio)
