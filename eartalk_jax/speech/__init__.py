"""Features of speech for every video frame, whole or as it arrives.

A kind of speech encoder is a module here and a line in KINDS. It is kept in a
folder: `speech.json` says the kind, its configuration and its fingerprint, and
`weights.safetensors` holds its weights, if it has any.

  speech = open_speech("mel:40")            # or the folder of an encoder
  features_TAF = features(speech, samples_S)

Dimension key: B streams, S samples, T frames (t of a window), A vectors in a
frame, F numbers in a vector.
"""

import pathlib
from typing import Any, Protocol

import jax
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from eartalk_jax import files
from eartalk_jax.bounds import shown
from eartalk_jax.config import nearest, to_dict
from eartalk_jax.documents import read_shaped
from eartalk_jax.errors import UserError
from eartalk_jax.spans import FRAME_SAMPLES
from eartalk_jax.speech import mel, wav2vec, whisper
from eartalk_jax.speech.listening import hear
from eartalk_jax.speech.windows import Windows

_REMEDY = "copy or import it again"
# Kind -> SpeechKind.
KINDS = {
  "mel": mel,
  "wav2vec2": wav2vec.WAV2VEC2,
  "hubert": wav2vec.HUBERT,
  "wavlm": wav2vec.WAVLM,
  "whisper": whisper,
}


class Speech(Protocol):
  """A speech encoder: windows of samples to features of video frames.

  A window is `before` samples, the frames' own FRAME_SAMPLES each, and `after`
  samples more: nothing else is heard, so a stream that waits for `after` makes
  the features of the whole clip.

  Attributes:
    kind: among KINDS.
    config: what its features depend on besides the weights.
    params: its weights, {name: array}.
    fingerprint: of configuration and weights.
    shape: (A, F).
    before, after: samples that a window reaches out of its frames.
    step: frames of a window; None where any number gives the same features.
    silence_AF: the features of what is outside of a clip.

  What has a `step` is a network: `encoding` compiles its `apply` and keeps that
  by the object, which must be hashable by identity (a dataclass with eq=False).
  Its features are float32 from `apply`, and float16 once they are stored.
  """

  kind: str
  config: Any
  params: dict
  fingerprint: str
  shape: tuple[int, int]
  before: int
  after: int
  step: int | None
  silence_AF: np.ndarray

  def apply(self, params, samples_BS) -> np.ndarray | jax.Array:
    """The features of windows, [B t A F].

    Pure; of a network it can be traced, for any B, and each row is a window of
    its own. Else it is called with numpy and one row.
    """


class SpeechKind(Protocol):
  """What the module of a kind has; `mel`, which has no weights, only `load`.

  Attributes:
    PUBLISHED: {name of what was published: its configuration}.
  """

  PUBLISHED: dict[str, Any]

  def load(self, config, arrays) -> Speech:
    """The encoder of a configuration in JSON and {name: array}, strictly."""

  def abstract(self, config) -> Speech:
    """The encoder with shapes for weights, of a configuration."""

  def recognises(self, source) -> bool:
    """Whether an `importing.sources.Source` is of this kind."""

  def imported(self, source, window, states) -> Speech:
    """The encoder out of a Source, strictly.

    Args:
      source: Source.
      window: (left, step, right) in frames.
      states: numbers of the hidden states that make the features.
    """

  def foreign(self, speech) -> tuple[dict, dict]:
    """(config.json, {name: array}) as the original library loads it."""


def features(speech, samples_S):
  """The features of a whole clip, float32 [T A F].

  Args:
    speech: Speech.
    samples_S: mono, float in [-1, 1] or int16.

  Raises:
    UserError: a sample is NaN, infinite, or far beyond [-1, 1]; or a feature is
      not finite.
  """
  windows = Windows(speech)
  windows.push(samples_S)
  windows.finish()
  found_TAF = hear(speech, windows)
  if not np.isfinite(found_TAF).all():
    raise UserError(
      f"the speech encoder {speech.kind!r} makes NaN or infinity of this "
      f"sound; {_REMEDY}"
    )
  return found_TAF


def open_speech(text):
  """The encoder that a user names: "mel", "mel:BINS" or its folder.

  Raises:
    UserError: it is none of these.
  """
  kind, _, bins = str(text).partition(":")
  if kind == "mel":
    return mel.named(bins)
  return load_speech(text)


def save_speech(directory, speech):
  """Writes the folder of an encoder, what vouches for it last."""
  directory = pathlib.Path(directory)
  directory.mkdir(parents=True, exist_ok=True)
  if speech.params:
    with files.replacing(directory / "weights.safetensors") as temporary:
      save_file(speech.params, temporary)
  files.write_json(directory / "speech.json", describe(speech))


def describe(speech):
  """What datasets and runs say of their encoder."""
  return {
    "kind": speech.kind,
    "config": to_dict(speech.config),
    "shape": list(speech.shape),
    "silence": speech.silence_AF.tolist(),
    "fingerprint": speech.fingerprint,
  }


def load_speech(directory):
  """Reads what `save_speech` wrote.

  Raises:
    UserError: there is none, its kind is not known, it is damaged, or it does
      not do what it declares.
  """
  directory = pathlib.Path(directory)
  path = directory / "speech.json"
  if not path.is_file():
    raise UserError(
      f"there is no speech encoder in {directory} (no speech.json); give mel, "
      "mel:BINS or the folder of one"
    )
  form = {"kind": str, "config": dict, "shape": [int], "fingerprint": str}
  said, arrays = read_shaped(path, form, _REMEDY), {}
  if said["kind"] not in KINDS:
    raise UserError(
      f"{path}: unknown kind {said['kind']!r}; {nearest(said['kind'], KINDS)}"
    )
  try:
    if (directory / "weights.safetensors").exists():
      arrays = load_file(directory / "weights.safetensors")
    speech = KINDS[said["kind"]].load(said["config"], arrays)
  except (OSError, SafetensorError, TypeError, ValueError, UserError) as error:
    raise UserError(
      f"the speech encoder in {directory} is damaged ({shown(error)}); "
      f"{_REMEDY}"
    ) from error
  check(speech)
  if speech.fingerprint != said["fingerprint"]:
    raise UserError(
      f"the speech encoder in {directory} is damaged (it is not the one that "
      f"speech.json describes); {_REMEDY}"
    )
  return speech


def check(speech):
  """An encoder must do what it declares.

  One window is run, unless it is a network's: that would take too long each
  time that a run is opened, so its shapes are told without.

  Raises:
    UserError: the features have another shape, or are not finite.
  """
  frames = speech.step or 1
  size = speech.before + frames * FRAME_SAMPLES + speech.after
  silence_1S = np.zeros((1, size), np.float32)
  if speech.step is None:
    found = np.asarray(speech.apply(speech.params, silence_1S))
    numbers = [found, speech.silence_AF]
  else:
    found = jax.eval_shape(speech.apply, speech.params, silence_1S)
    numbers = [*jax.tree.leaves(speech.params), speech.silence_AF]
  declared = (1, frames, *speech.shape)
  if found.shape != declared or speech.silence_AF.shape != declared[2:]:
    raise UserError(
      f"the speech encoder {speech.kind!r} declares features of {declared} for "
      f"a window of {size} samples and makes {found.shape}; correct what it "
      "declares"
    )
  if not all(np.isfinite(array).all() for array in numbers):
    raise UserError(
      f"the speech encoder {speech.kind!r} holds NaN or infinity, or makes it "
      "of silence"
    )
