"""What speech encoders share whose networks are those of other libraries.

Such a network makes 50 vectors a second of a whole window: `left` frames before
those whose features are wanted, these `step` frames, and `right` frames after
them. Of what it makes the middle is taken, two vectors for a frame: never
interpolated, which would depend on the clip's length.

  samples   640 (left + step + right), and what the last vector reaches beyond
  features  [step, A = 2, F = numbers of the chosen hidden states, one state
            after the other]
  latency   40 ms right, to hear what follows, and up to 40 ms (step - 1), to
            fill the step

A window costs the same for any `step`, so a short one makes the features dear
and a long one makes them late.

Dimension key: B windows, S samples, N vectors of a window (2 a frame), t frames
of the step, A vectors in a frame, D width, F numbers in a vector.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from eartalk_jax.bounds import shown
from eartalk_jax.config import check_range, from_config
from eartalk_jax.errors import UserError
from eartalk_jax.importing.filling import fill
from eartalk_jax.spans import FRAME_SAMPLES, SAMPLE_RATE
from eartalk_jax.speech.encoding import encode
from eartalk_jax.tokenizers.hashing import fingerprint_of

VECTORS = 2  # of a frame: 50 in a second
HOP = FRAME_SAMPLES // VECTORS
# (left, step, right) of the published configurations: 3.2 seconds are heard, of
# which 200 ms are of the future, as in the systems that stream such encoders
# (Ditto awaits 80 ms, LiveTalking 200); features come five frames at once, at
# most 360 ms after the sound, and everything is computed 16 times.
WINDOW = 70, 5, 5
# Its place among the weights.
SILENCE = "silence"

# Keys of config.json that make no difference to the features: what is said of
# training, of the tasks that networks were trained for, and of the library.
IGNORED = (
  *("apply_spec_augment", "attention_dropout", "activation_dropout"),
  *("mask_time_prob", "mask_time_length", "mask_time_min_masks"),
  *("mask_feature_prob", "mask_feature_length", "mask_feature_min_masks"),
  *("vocab_size", "pad_token_id", "bos_token_id", "eos_token_id"),
  *("classifier_proj_size", "use_weighted_layer_sum", "tokenizer_class"),
  *("id2label", "label2id", "problem_type", "finetuning_task"),
  *("return_dict", "output_attentions", "output_hidden_states"),
  *("gradient_checkpointing", "use_cache", "tie_word_embeddings"),
  "is_encoder_decoder",
)


@dataclasses.dataclass(frozen=True)
class Window:
  """What a kind's configuration begins with.

  Attributes:
    left, step, right: frames of a window; see the module.
    states: numbers of the hidden states that make the features.
  """

  left: int
  step: int
  right: int
  states: tuple[int, ...]

  def check(self, last):
    """Raises ValueError unless states up to number `last` are asked for."""
    check_range(self, 0, 750, "left", "right")
    check_range(self, 1, 750, "step")
    if not self.states or len(set(self.states)) < len(self.states):
      raise ValueError("states must be some numbers, each once")
    if not all(0 <= state <= last for state in self.states):
      raise ValueError(
        f"states are {list(self.states)}; this network has 0 to {last}"
      )

  @property
  def frames(self):
    """Of the whole window."""
    return self.left + self.step + self.right


@dataclasses.dataclass(frozen=True, eq=False)
class Pretrained:
  """What a kind's Speech begins with; see the package for the rest.

  A kind adds `width`, D; `beyond`, the samples that the last vector reaches
  out of its window; and `hidden(tree, samples_BS)`, the hidden states of
  config.states, each [B N D].

  Attributes:
    kind: its name.
    config: a Window.
    params: weights by path, and the features of silence.
  """

  kind: str
  config: Any
  params: dict

  @functools.cached_property
  def fingerprint(self):
    """Of kind, configuration and weights; silence follows from them."""
    weights = {k: v for k, v in self.params.items() if k != SILENCE}
    return fingerprint_of([self.kind, self.config], weights)

  @property
  def shape(self):
    """(A, F)."""
    return VECTORS, len(self.config.states) * self.width

  @property
  def before(self):
    """See `Speech`."""
    return self.config.left * FRAME_SAMPLES

  @property
  def after(self):
    """See `Speech`."""
    return self.config.right * FRAME_SAMPLES + self.beyond

  @property
  def step(self):
    """See `Speech`."""
    return self.config.step

  @property
  def silence_AF(self):
    """The features of the first frame of a step, in a window of zeros."""
    return self.params[SILENCE]

  def apply(self, params, samples_BS):
    """See `Speech`."""
    c = self.config
    weights = {k: v for k, v in params.items() if k != SILENCE}
    tree = traverse_util.unflatten_dict(weights, sep="/")
    states = self.hidden(tree, jnp.asarray(samples_BS, jnp.float32))
    own = slice(VECTORS * c.left, VECTORS * (c.left + c.step))
    features_BNF = jnp.concatenate([x_BND[:, own] for x_BND in states], -1)
    return features_BNF.reshape(len(samples_BS), c.step, *self.shape)


def samples_of(speech):
  """S, of a window."""
  return speech.before + speech.step * FRAME_SAMPLES + speech.after


def abstract(speech, kind, config, network, shape):
  """A Speech with shapes for weights.

  Args:
    speech: class, a Pretrained.
    kind: name.
    config: its configuration.
    network: Linen module.
    shape: of an input that it takes.
  """
  inputs = jax.ShapeDtypeStruct(shape, np.float32)
  tree = jax.eval_shape(network.init, jax.random.key(0), inputs)["params"]
  params = traverse_util.flatten_dict(tree, sep="/")
  like = speech(kind, config, params)
  params[SILENCE] = np.zeros(like.shape, np.float32)
  return like


def load(kind, config, arrays):
  """The encoder of a configuration in JSON and {name: array}.

  Args:
    kind: SpeechKind with `Config`, its configuration's class.
    config: dictionary.
    arrays: as `Pretrained.params`.

  Raises:
    UserError: they do not belong together.
  """
  like = kind.abstract(from_config(kind.Config, config))
  wanted = {name: x.shape for name, x in like.params.items()}
  floats = all(array.dtype == np.float32 for array in arrays.values())
  if {name: x.shape for name, x in arrays.items()} != wanted or not floats:
    raise UserError("its weights are not those that speech.json describes")
  if not np.isfinite(arrays[SILENCE]).all():
    raise UserError("its features of silence are NaN or infinity")
  return dataclasses.replace(like, params=dict(arrays))


def filled(kind, config, source, unused):
  """An encoder out of another library's tensors, strictly.

  Args:
    kind: SpeechKind with `rules(config)`, {path: Rule}.
    config: of the kind.
    source: Source, with the names that the rules use.
    unused: see `filling.fill`.

  Raises:
    UserError: as `fill`.
  """
  like = kind.abstract(config)
  shapes = {name: x.shape for name, x in like.params.items()}
  shapes.pop(SILENCE)
  weights = fill(source, kind.rules(config), shapes, unused)
  params = {**weights, SILENCE: like.silence_AF}
  speech = dataclasses.replace(like, params=params)
  # Put in its place when it is known: so the network is compiled only once.
  [features_tAF] = encode(speech, [np.zeros(samples_of(like), np.float32)])
  params[SILENCE] = np.array(features_tAF[0])
  if not np.isfinite(params[SILENCE]).all():
    raise UserError(
      f"{source.where}: the network makes NaN or infinity of silence; download "
      "it again"
    )
  return speech


def described(config, window, states, said):
  """A kind's configuration of what a user chose and a config.json says.

  Args:
    config: class, a Window that has `last_state`.
    window: (left, step, right).
    states: numbers; the last one if None.
    said: its other fields.

  Raises:
    UserError: they do not fit.
  """
  left, step, right = window
  chosen = {
    "left": left,
    "step": step,
    "right": right,
    "states": states or (0,),
  }
  found = from_config(config, {**chosen, **said})
  if states is None:
    found = dataclasses.replace(found, states=(found.last_state,))
  return found


def processed(source, key, default, known):
  """What preprocessor_config.json says of a key, if it may be so.

  Raises:
    UserError: it is none of `known`.
  """
  value = source.processor.get(key, default)
  # True is 1 to Python.
  if value not in known or isinstance(value, bool) != isinstance(default, bool):
    raise UserError(
      f"{source.where}/preprocessor_config.json: {key} is {shown(value)}, but "
      f"{' or '.join(map(shown, known))} alone is known here"
    )
  return value


def check_rate(source):
  """Raises UserError if the network hears another rate than ours."""
  processed(source, "sampling_rate", SAMPLE_RATE, [SAMPLE_RATE])


def without(source, *prefixes):
  """The same with the first of these prefixes cut off names that have it."""

  def short(name):
    found = next((p for p in prefixes if name.startswith(p)), "")
    return name.removeprefix(found)

  return source.renamed({name: short(name) for name in source.names})
