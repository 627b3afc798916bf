"""EARTalking (arXiv 2603.20307) in plain PyTorch, in one file.

  from modeling_eartalk import EARTalking
  model = EARTalking.from_pretrained("folder")
  frames = model.generate(portrait_YX3, samples_S, {"emotion": {0: "happy"}})

A frame-causal transformer reads the portrait (the sink), the last W frames and
the frame's own conditions; a head then samples the frame's latent. Streams have
an explicit state of a fixed size: frame 1,000,000 costs what frame 100 costs.

A latent is `stride` frames of video. Where that is one, "frame" means both.
Otherwise frame 0 of a video is the portrait itself, latent 1 the first that is
made, and of frames 1 .. stride:

  stride 4    latent  0   1     2     3
              frames  0   1-4   5-8   9-12

Needs torch, numpy and safetensors; with a tokenizer or speech encoder of
another library also the file modeling_encoders.py and that library. Equal seeds
give the frames of the JAX model that these weights come from, up to rounding:
noise is made by the same counter-based generator (Threefry), outside of the
network.

Dimension key: B streams or clips, T latent frames (of sound: video frames), s
video frames of a latent, S sink frames (of sound: samples), N tokens of a
frame, M condition tokens, P = M + N, J = S * N, c numbers in a token, h w C
latent grid and channels, D width, H heads, K head width, W window, V = W - 1, R
noise draws (in `attend`: keys), E head width, A vectors of a video frame's
sound, F numbers in one (or in all that is heard), Y X picture.
"""

import collections
import contextlib
import dataclasses
import importlib.util
import json
import math
import numbers
import os
import pathlib
import re
import threading
import typing
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

FORMAT_VERSION = 2
MODEL_TYPE = "eartalking"
ACTIVATIONS = {"gelu_tanh": lambda x: F.gelu(x, approximate="tanh")}

# --- What others wrote or ask for: checked, and named if it cannot be


def read_json(path):
  """The value in a JSON file, as `parse_json` reads it.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is damaged.
  """
  if not path.is_file():
    raise FileNotFoundError(f"there is no {path}; give the exported folder")
  return parse_json(path.read_bytes(), path)


def parse_json(text, where):
  """The value of a JSON text, a string or bytes in UTF-8.

  Args:
    text: the text.
    where: what it is, for the message.

  Raises:
    ValueError: no JSON, too deep, a key said twice, a number beyond floats.
  """
  try:
    if isinstance(text, bytes):
      text = text.decode("utf-8")
    return json.loads(
      text,
      object_pairs_hook=_unique,
      parse_int=_number,
      parse_float=_number,
      parse_constant=_number,
    )
  except RecursionError:
    problem = "it is nested too deeply"
  except ValueError as error:
    problem = str(error)
  raise ValueError(f"{where}: not a JSON file ({problem}); write it again")


def _unique(pairs):
  content = dict(pairs)
  if len(content) < len(pairs):
    keys = [key for key, _ in pairs]
    twice = next(key for key in content if keys.count(key) > 1)
    raise ValueError(f"{_short(twice)} is said twice")
  return content


def _number(text):
  if len(text) > 400 or not math.isfinite(float(text)):
    raise ValueError(f"{_short(text)} is no number that can be used")
  return float(text) if set(text) & set(".eE") else int(text)


def _short(value):
  """How a value is shown in a message: on one line, and not for pages."""
  try:
    text = " ".join(repr(value).split())
  except ValueError:  # an integer of thousands of digits
    text = "a huge number"
  return text if len(text) <= 60 else f"{text[:60]}..."


def _is_real(value):
  """Whether it is a number, and finite; True and False are none."""
  real = isinstance(value, numbers.Real) and not isinstance(value, bool)
  try:
    return real and math.isfinite(value)
  except OverflowError:
    return False


def _whole(value, what, most):
  """`value` as an int from 0 to `most`."""
  whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
  if not whole or not 0 <= value <= most:
    raise ValueError(
      f"{what} is {_short(value)}; a whole number from 0 to {most} is needed"
    )
  return int(value)


def _object(value, what):
  if not isinstance(value, dict):
    raise ValueError(f"{what} is {_short(value)}; a dictionary is needed")
  return value


def _array(value):
  """Anything like an array, a tensor of any device too, as a NumPy array."""
  if isinstance(value, torch.Tensor):
    value = value.detach().cpu()
  return np.asarray(value)


# --- Configuration: config.json, strictly


def _require(condition, problem):
  if not condition:
    raise ValueError(problem)


def _positive(config, *names):
  for name in names:
    value = getattr(config, name)
    _require(value > 0, f"{name} is {value}; it must be above 0")


@dataclasses.dataclass(frozen=True)
class AudioConfig:
  """What a latent hears: its frames, `past` before and `ahead` after them.

  Of each frame these are `steps` vectors of `bins` numbers, which are those of
  `states` hidden states of an encoder, one after another; each is normalised
  with `level_eps`. `convolutions` of stride 2 and `taps` taps read them.
  """

  sample_rate: int
  bins: int
  past: int
  ahead: int
  steps: int
  tokens: int
  drop: float
  states: int
  level_eps: float
  convolutions: int
  taps: int

  def __post_init__(self):
    _positive(self, "sample_rate", "bins", "steps", "states")
    _require(self.bins % self.states == 0, "states do not divide bins")
    _positive(self, "tokens", "level_eps", "convolutions", "taps")


@dataclasses.dataclass(frozen=True)
class MelConfig:
  """Log-mel features: (log(max(mel, floor)) - mean) / scale."""

  kind: str
  hop: int
  n_fft: int
  floor: float
  mean: float
  scale: float

  def __post_init__(self):
    _positive(self, "hop", "floor", "scale")
    _require(self.n_fft >= self.hop, f"n_fft is {self.n_fft}, below hop")


@dataclasses.dataclass(frozen=True)
class ForeignSpeechConfig:
  """A speech encoder of another library, whose folder tells the rest of it.

  It hears windows of `left`, `step` and `right` video frames and of `beyond`
  samples more, and tells some hidden `states` of the `step` frames.
  """

  kind: str
  left: int
  step: int
  right: int
  beyond: int
  states: tuple[int, ...]
  normalize: bool

  def __post_init__(self):
    _positive(self, "step")
    _require(len(self.states) > 0, "states are none")


@dataclasses.dataclass(frozen=True)
class ControlConfig:
  """A per-frame signal: numbers in [low, high], or one of `categories`."""

  name: str
  kind: str
  size: int
  drop: float
  low: float
  high: float
  categories: tuple[str, ...]

  def __post_init__(self):
    _positive(self, "size")
    named = self.name and "." not in self.name
    _require(named, f"name is {_short(self.name)}")
    _require(len(self.categories) <= self.size, "more categories than size")
    _require(self.low < self.high, f"low {self.low} is not below high")


@dataclasses.dataclass(frozen=True)
class HistoryConfig:
  """Noise on past frames in training; the level that streams are told."""

  max_level: float
  clean_share: float
  sampling_level: float


@dataclasses.dataclass(frozen=True)
class FlowHeadConfig:
  """All tokens of a frame at once, by flow matching.

  It models (frame - portrait) / spread in `steps` Euler steps at times shifted
  towards noise; `temperature` scales the first noise. Training weighs errors by
  1 / max(1 - t, smallest_rest)^2.
  """

  kind: str
  width: int
  depth: int
  heads: int
  rank: int
  draws: int
  steps: int
  spread: float
  shift: float
  temperature: float
  smallest_rest: float

  def __post_init__(self):
    _positive(self, "heads", "rank", "steps", "draws")
    _positive(self, "spread", "shift", "smallest_rest")
    _require_heads(self.width, self.heads)
    _require(
      0 <= self.temperature <= HOTTEST,
      f"temperature is {self.temperature}; 0 to {HOTTEST} is needed",
    )


@dataclasses.dataclass(frozen=True)
class MaskedHeadConfig(FlowHeadConfig):
  """Tokens set by set, each by a small denoiser ("flow" or "noise").

  In training the share of hidden tokens is normal around 1 with
  `hidden_spread`, cut to [hidden_least, 1]; noise prediction begins at
  `first_time`.
  """

  denoiser_width: int
  denoiser_depth: int
  process: str
  sets: int
  hidden_spread: float
  hidden_least: float
  first_time: float

  def __post_init__(self):
    super().__post_init__()
    _positive(self, "sets", "first_time")
    _require(self.first_time < 1, f"first_time is {self.first_time}")
    _require_heads(self.denoiser_width, 1)


@dataclasses.dataclass(frozen=True)
class TokenizerConfig:
  """A picture autoencoder and the statistics of its latents."""

  kind: str
  model_type: str
  format_version: int
  dtype: str
  size: int
  patch: int
  channels: int
  width: int
  heads: int
  encoder_depth: int
  decoder_depth: int
  norm_eps: float
  activation: str
  mlp_ratio: int
  latent_mean: tuple[float, ...]
  latent_std: float

  stride, delay = 1, 0

  def __post_init__(self):
    _positive(self, "size", "patch", "channels", "width", "heads")
    _positive(self, "norm_eps", "mlp_ratio", "latent_std")
    _require(self.size % self.patch == 0, "patch does not divide size")
    _require(self.width % self.heads == 0, "heads do not divide width")
    means = len(self.latent_mean)
    _require(means == self.channels, f"latent_mean has {means} numbers")

  @property
  def latent_shape(self):
    """(h, w, C) of one picture's latents."""
    side = self.size // self.patch
    return side, side, self.channels


@dataclasses.dataclass(frozen=True)
class ForeignTokenizerConfig:
  """A tokenizer of another library, whose folder tells the rest of it.

  A latent is `stride` frames; a step shows those of `delay` latents before.
  """

  kind: str
  size: int
  latent_shape: tuple[int, ...]
  stride: int
  delay: int
  latent_mean: tuple[float, ...]
  latent_std: tuple[float, ...]

  def __post_init__(self):
    _positive(self, "size", "stride")
    shape = self.latent_shape
    good = len(shape) == 3 and min(shape) > 0
    _require(good, f"latent_shape is {_short(shape)}")
    for name in ("latent_mean", "latent_std"):
      numbers = getattr(self, name)
      _require(len(numbers) == shape[2], f"{name} has {len(numbers)} numbers")
    _require(min(self.latent_std) > 0, "latent_std is not above 0")


@dataclasses.dataclass(frozen=True)
class LtxTokenizerConfig(ForeignTokenizerConfig):
  """LTX's decoder is shown `context` latents before, and told a noise level."""

  context: int
  timestep: float

  def __post_init__(self):
    super().__post_init__()
    _positive(self, "context")


@dataclasses.dataclass(frozen=True)
class Config:
  """Everything that the forward pass depends on; see config.json."""

  architectures: tuple[str, ...]
  model_type: str
  format_version: int
  dtype: str
  weights: str
  trained_steps: int
  latent_shape: tuple[int, ...]
  stride: int
  patch: int
  width: int
  depth: int
  heads: int
  window: int
  positions: str
  rotary_base: float
  sink_distance: float
  sinks: int
  sink_rank: int
  without: tuple[str, ...]
  norm_eps: float
  activation: str
  mlp_ratio: int
  patterns: int
  sinusoid_top_rate: float
  fps: int
  noise: str
  audio: AudioConfig
  speech: MelConfig | ForeignSpeechConfig
  controls: tuple[ControlConfig, ...]
  history: HistoryConfig
  head: FlowHeadConfig | MaskedHeadConfig
  tokenizer: TokenizerConfig | ForeignTokenizerConfig

  def __post_init__(self):
    _positive(self, "patch", "depth", "heads", "window", "sinks", "sink_rank")
    _positive(self, "rotary_base", "norm_eps", "mlp_ratio", "patterns")
    _positive(self, "sinusoid_top_rate", "fps")
    _require_heads(self.width, self.heads)
    for name in ("latent_shape", "stride"):
      mine, theirs = getattr(self, name), getattr(self.tokenizer, name)
      _require(mine == theirs, f"{name} {mine} is not the tokenizer's")
    side, patch = self.latent_shape[0], self.patch
    _require(side % patch == 0, f"patch {patch} does not divide {side} latents")
    known = {"anchor", "sink", "direct"} >= set(self.without)
    _require(known, f"without {self.without}")
    names = {control.name for control in self.controls}
    _require(len(names) == len(self.controls), "two controls have one name")
    whole = self.audio.sample_rate % self.fps == 0
    _require(whole, "fps does not divide audio.sample_rate")
    whole = self.frame_samples % self.audio.steps == 0
    _require(whole, "audio.steps do not divide a frame's samples")
    if self.speech.kind == "mel":
      frame = self.speech.hop * self.audio.steps == self.frame_samples
      _require(frame, "fps x audio.steps x speech.hop is not audio.sample_rate")
    sets = getattr(self.head, "sets", 1)
    _require(sets <= self.tokens, f"head: {sets} sets of {self.tokens} tokens")

  @property
  def needs_encoders(self):
    """Whether the tokenizer or the speech encoder is another library's."""
    return (self.tokenizer.kind, self.speech.kind) != ("patches", "mel")

  @property
  def tokens(self):
    """N."""
    h, w, _ = self.latent_shape
    return (h // self.patch) * (w // self.patch)

  @property
  def token_width(self):
    """Numbers in one frame token (c)."""
    return self.patch**2 * self.latent_shape[2]

  @property
  def condition_tokens(self):
    """M."""
    return len(self.controls) + self.audio.tokens

  @property
  def audio_features(self):
    """F of all that a latent hears."""
    audio = self.audio
    frames = audio.past + self.stride + audio.ahead
    return frames * audio.steps * audio.bins

  @property
  def frame_samples(self):
    """Samples of a video frame."""
    return self.audio.sample_rate // self.fps

  @property
  def first_made(self):
    """Number of the first latent that a stream makes."""
    return int(self.stride > 1)

  def frames_of(self, latent):
    """The video frames of a latent."""
    return range(
      max(latent * self.stride - self.stride + 1, 0), latent * self.stride + 1
    )

  def columns(self, control):
    """Numbers of a control for a latent; a category is its index."""
    return self.stride * (1 if control.kind == "categorical" else control.size)


def _require_heads(width, heads):
  # Rotations and sinusoids go by pairs, of which there are two at least.
  fits = width >= 4 and width % (2 * heads) == 0
  _require(fits, f"width {width} is not an even multiple of {heads} heads")


_DTYPES = ("float32", "bfloat16")
# Whole numbers beyond are of no model: they would fill memory, or never end.
_MOST, _MOST_REPEATS, _MOST_STEPS = 65_536, 1024, 2**53
_REPEATS = ("depth", "encoder_depth", "decoder_depth", "denoiser_depth")
_REPEATS += ("steps", "sets", "convolutions")
HOTTEST = 10
_CHOICES = {
  (Config, "model_type"): (MODEL_TYPE,),
  (Config, "format_version"): (FORMAT_VERSION,),
  (Config, "dtype"): _DTYPES,
  (Config, "positions"): ("relative", "cyclic"),
  (Config, "activation"): tuple(ACTIVATIONS),
  (Config, "noise"): ("threefry2x32",),
  (MelConfig, "kind"): ("mel",),
  (ControlConfig, "kind"): ("continuous", "categorical"),
  (FlowHeadConfig, "kind"): ("flow",),
  (MaskedHeadConfig, "kind"): ("masked",),
  (MaskedHeadConfig, "process"): ("flow", "noise"),
  (TokenizerConfig, "kind"): ("patches",),
  (TokenizerConfig, "model_type"): (f"{MODEL_TYPE}_tokenizer",),
  (TokenizerConfig, "format_version"): (FORMAT_VERSION,),
  (TokenizerConfig, "dtype"): _DTYPES,
  (TokenizerConfig, "activation"): tuple(ACTIVATIONS),
}


# Of fields that are one of several types: by its kind, the first is the usual.
_VARIANTS = {
  "head": {"flow": FlowHeadConfig, "masked": MaskedHeadConfig},
  "tokenizer": {"patches": TokenizerConfig}
  | dict.fromkeys(("kl", "wan", "dcae", "taesd"), ForeignTokenizerConfig)
  | {"ltx": LtxTokenizerConfig},
  "speech": {"mel": MelConfig}
  | dict.fromkeys(
    ("wav2vec2", "hubert", "wavlm", "whisper"), ForeignSpeechConfig
  ),
}


def strict(cls, given, path="config.json"):
  """Builds a configuration; nothing is ignored and nothing has a default.

  Raises:
    ValueError: an unknown or missing key, another type, an unknown choice, a
      number that no model has.
  """
  if not isinstance(given, dict):
    raise ValueError(f"{path} must be an object")
  fields = {field.name: field.type for field in dataclasses.fields(cls)}
  unknown = sorted(map(_short, given.keys() - fields.keys()))
  missing = sorted(fields.keys() - given.keys())
  if unknown or missing:
    raise ValueError(
      f"{path}: unknown keys {unknown[:5]}, missing {missing[:5]}; the file "
      "is of another version of modeling_eartalk.py, or was edited: export it "
      "again"
    )
  for name, value in given.items():
    choices = _CHOICES.get((cls, name), (value,))
    if value not in choices:
      raise ValueError(f"{path}: {name} is {_short(value)}; known: {choices}")
  values = {
    k: _value(k, fields[k], v, f"{path}: {k}") for k, v in given.items()
  }
  try:
    return cls(**values)
  except ValueError as error:
    raise ValueError(f"{path}: {error}; export it again") from None


def _value(name, kind, value, path):
  """`value` as the field `name` of type `kind` needs it."""
  if name in _VARIANTS:
    known = _VARIANTS[name]
    said = value.get("kind") if isinstance(value, dict) else None
    if isinstance(said, str) and said not in known:
      raise ValueError(f"{path}: kind is {_short(said)}; known: {tuple(known)}")
    usual = next(iter(known))
    kind = known[said if isinstance(said, str) else usual]
    return strict(kind, value, path)
  if dataclasses.is_dataclass(kind):
    return strict(kind, value, path)
  if typing.get_origin(kind) is tuple:
    if not isinstance(value, list):
      raise ValueError(f"{path} is {_short(value)}; a list is needed")
    inside = typing.get_args(kind)[0]
    return tuple(
      _value(name, inside, one, f"{path}[{index}]")
      for index, one in enumerate(value)
    )
  if kind is int:
    most = _MOST_REPEATS if name in _REPEATS else _MOST
    return _whole(value, path, _MOST_STEPS if name == "trained_steps" else most)
  if kind is float and _is_real(value):
    return float(value)
  if type(value) is not kind or kind is float:
    raise ValueError(f"{path} is {_short(value)}; {kind.__name__} is needed")
  return value


# --- Noise: the generator of JAX, so that equal seeds give equal frames


def threefry(key, high, low):
  """Threefry-2x32 (Salmon et al. 2011) with 20 rounds, on 32 bits in int64.

  Args:
    key: [..., 2].
    high, low: words of the counters, broadcastable to key[..., 0].

  Returns:
    Two words for each counter.
  """
  mask, rotations = 0xFFFFFFFF, ((13, 15, 26, 6), (17, 29, 16, 24))
  first, second = key[..., 0], key[..., 1]
  schedule = (first, second, first ^ second ^ 0x1BD11BDA)
  x, y = (high + first) & mask, (low + second) & mask
  for group in range(5):
    for turn in rotations[group % 2]:
      x = (x + y) & mask
      y = (((y << turn) | (y >> (32 - turn))) & mask) ^ x
    x = (x + schedule[(group + 1) % 3]) & mask
    y = (y + schedule[(group + 2) % 3] + group + 1) & mask
  return x, y


def fold_in(key, number):
  """A new key [..., 2] for each number."""
  return torch.stack(threefry(key, torch.zeros_like(number), number), dim=-1)


def random_bits(key, count):
  """[..., count] numbers of 32 bits."""
  index = torch.arange(count, device=key.device)
  high, low = threefry(key[..., None, :], torch.zeros_like(index), index)
  return high ^ low


def normal(key, shape):
  """Standard normal numbers [..., *shape], float32."""
  bits = random_bits(key, math.prod(shape))
  floats = ((bits >> 9) | 0x3F800000).to(torch.int32).view(torch.float32) - 1
  lowest = float(np.nextafter(np.float32(-1), np.float32(0)))
  uniform = (floats * 2 + lowest).clamp(min=lowest)
  noise = math.sqrt(2) * _erfinv(uniform)
  return noise.reshape(*key.shape[:-1], *shape)


def fixed_noise(number, shape):
  """Standard normal numbers that are the same for ever, by a number."""
  nothing = torch.zeros(2, dtype=torch.int64)
  return normal(fold_in(nothing, torch.tensor(number)), shape)


def _erfinv(x):
  """Giles' approximation in float32, for which torch has other last bits."""
  w = -torch.log1p(-x * x)
  small = w < 5
  w = torch.where(small, w - 2.5, torch.sqrt(w) - 3)
  out = torch.where(small, _ERFINV[0][0], _ERFINV[0][1])
  for near, far in _ERFINV[1:]:
    out = torch.where(small, near, far) + out * w
  return out * x


_ERFINV = (
  (2.81022636e-08, -0.000200214257),
  (3.43273939e-07, 0.000100950558),
  (-3.5233877e-06, 0.00134934322),
  (-4.39150654e-06, -0.00367342844),
  (0.00021858087, 0.00573950773),
  (-0.00125372503, -0.0076224613),
  (-0.00417768164, 0.00943887047),
  (0.246640727, 1.00167406),
  (1.50140941, 2.83297682),
)


def permutation(key, count):
  """A random order of `count` places for each key, [..., count]."""
  rounds = math.ceil(3 * math.log(max(count, 1)) / math.log(2**32 - 1))
  order = torch.arange(count, device=key.device).expand(*key.shape[:-1], count)
  for _ in range(rounds):
    one = torch.ones(key.shape[:-1], dtype=torch.int64, device=key.device)
    key, bits = fold_in(key, 0 * one), random_bits(fold_in(key, one), count)
    order = order.gather(-1, bits.sort(dim=-1, stable=True).indices)
  return order


class FlowNoise(NamedTuple):
  """What a frame of a `flow` head is made of: [..., N, c]."""

  start: torch.Tensor


class MaskedNoise(NamedTuple):
  """What a frame of a `masked` head is made of.

  Attributes:
    order: [..., N], the places in the order of their sets.
    start: [..., N, c] by place in `order`.
    fresh: [..., steps, N, c], what the steps add.
  """

  order: torch.Tensor
  start: torch.Tensor
  fresh: torch.Tensor


def frame_noise(cfg, seed_B, frame_B):
  """The noise of one frame of each stream.

  Args:
    cfg: Config.
    seed_B, frame_B: int64 of any one shape: seeds, and how many latents the
      streams have made.
  """
  key = torch.stack([torch.zeros_like(seed_B), seed_B], dim=-1)
  key = fold_in(key, frame_B)
  head, shape = cfg.head, (cfg.tokens, cfg.token_width)
  if head.kind == "flow":
    return FlowNoise(normal(key, shape))
  order_key, noise_key = (
    fold_in(key, torch.full_like(frame_B, half)) for half in range(2)
  )
  starts, steps = [], []
  for index, size in enumerate(set_sizes(cfg.tokens, head.sets)):
    of_set = fold_in(noise_key, torch.full_like(frame_B, index))
    draws = [
      normal(fold_in(of_set, torch.full_like(frame_B, step)), (size, shape[1]))
      for step in range(head.steps + 1)
    ]
    starts.append(draws[-1])
    steps.append(torch.stack(draws[:-1], dim=-3))
  order = permutation(order_key, cfg.tokens)
  return MaskedNoise(order, torch.cat(starts, -2), torch.cat(steps, -2))


def set_sizes(tokens, sets):
  """How many tokens each set has: few at first, as the cosine falls."""
  sizes, left = [], tokens
  for index in range(1, sets + 1):
    after = int(tokens * np.cos(np.pi / 2 * index / sets))
    after = min(max(after, sets - index), left - 1)
    sizes.append(left - after)
    left = after
  return sizes


# --- Small parts


class Linear(nn.Linear):
  """In the precision of its weights."""

  def forward(self, x):
    """[..., in] -> [..., out]."""
    return F.linear(x.to(self.weight.dtype), self.weight, self.bias)


def norm(x, eps):
  """LayerNorm without scale or bias: modulation supplies both."""
  return F.layer_norm(x, x.shape[-1:], eps=eps)


def sinusoids(x, width, top_rate):
  """[...] scalars in about [0, 1] -> [..., width] Fourier features."""
  half = width // 2
  rates = [top_rate ** (i / (half - 1)) for i in range(half)]
  angle = x[..., None] * torch.tensor(rates, device=x.device)
  return torch.cat([angle.sin(), angle.cos()], dim=-1)


def rotate(x, position, base):
  """Rotates the channel pairs of x [..., H, K] by `position` [...] frames."""
  half = x.shape[-1] // 2
  rates = [base ** (-i / half) for i in range(half)]
  angle = position[..., None].float() * torch.tensor(rates, device=x.device)
  cos, sin = angle.cos()[..., None, :], angle.sin()[..., None, :]
  first, second = x.float().chunk(2, dim=-1)
  turned = (first * cos - second * sin, first * sin + second * cos)
  return torch.cat(turned, dim=-1).to(x.dtype)


def attend(q, k, v, mask=None):
  """q [B P H K], k and v [B R H K]; mask broadcastable to [B H P R]."""
  q, k, v = (x.transpose(1, 2) for x in (q, k, v))
  out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
  return out.transpose(1, 2)


def to_tokens(latents, patch):
  """[..., h, w, C] -> [..., N, c], tokens in row-major order."""
  *lead, h, w, c = latents.shape
  rows, columns = h // patch, w // patch
  x = latents.reshape(*lead, rows, patch, columns, patch, c).transpose(-4, -3)
  return x.reshape(*lead, rows * columns, patch * patch * c)


def to_latents(tokens, latent_shape, patch):
  """The inverse of `to_tokens`."""
  h, w, c = latent_shape
  lead = tokens.shape[:-2]
  rows, columns = h // patch, w // patch
  x = tokens.reshape(*lead, rows, columns, patch, patch, c).transpose(-3, -4)
  return x.reshape(*lead, h, w, c)


class Mlp(nn.Module):
  """Two layers, the activation between: [..., D] -> [..., D]."""

  def __init__(self, width, ratio, activation):
    super().__init__()
    self.up = Linear(width, ratio * width)
    self.down = Linear(ratio * width, width)
    self.activation = ACTIVATIONS[activation]

  def forward(self, x):
    """[..., D] -> [..., D]."""
    return self.down(self.activation(self.up(x)))


class Modulation(nn.Module):
  """From a condition to `count` arrays of width D, through a bottleneck."""

  def __init__(self, inside, rank, width, count):
    super().__init__()
    self.reduce = Linear(inside, rank)
    self.expand = Linear(rank, count * width)
    self.count = count

  def forward(self, condition):
    """[..., inside] -> `count` arrays [..., D]."""
    return self.expand(F.silu(self.reduce(condition))).chunk(self.count, dim=-1)


class Heads(nn.Module):
  """Query, key and value projections: [..., D] -> three of [..., H, K]."""

  def __init__(self, width, heads, key_bias):
    super().__init__()
    self.heads = heads
    self.query = Linear(width, width)
    # Without positions softmax cannot see a key's bias.
    self.key = Linear(width, width, bias=key_bias)
    self.value = Linear(width, width)

  def forward(self, x):
    """[..., D] -> three of [..., H, K]."""
    projections = (self.query(x), self.key(x), self.value(x))
    return [y.unflatten(-1, (self.heads, -1)) for y in projections]


class MergeHeads(nn.Module):
  """[..., H, K] -> [..., D]."""

  def __init__(self, width):
    super().__init__()
    self.out = Linear(width, width)

  def forward(self, x):
    """[..., H, K] -> [..., D]."""
    return self.out(x.flatten(-2))


# --- Conditions: FCIC


class Convolution(nn.Module):
  """Over time with stride 2: [..., A, F] -> [..., A / 2, D]."""

  def __init__(self, inside, width, taps):
    super().__init__()
    self.weight = nn.Parameter(torch.empty(width, inside, taps))
    self.bias = nn.Parameter(torch.zeros(width))
    nn.init.normal_(self.weight, std=(taps * inside) ** -0.5)
    self.taps = taps

  def forward(self, x):
    """[..., A, F] -> [..., A / 2, D]; an odd step of padding comes last."""
    lead, (steps, inside) = x.shape[:-2], x.shape[-2:]
    x = x.to(self.weight.dtype).reshape(-1, steps, inside).transpose(1, 2)
    short = max(2 * (-(-steps // 2) - 1) + self.taps - steps, 0)
    x = F.pad(x, (short // 2, short - short // 2))
    out = F.conv1d(x, self.weight, self.bias, stride=2).transpose(1, 2)
    return out.reshape(*lead, *out.shape[1:])


class Mixing(nn.Module):
  """Hidden states of an encoder, mixed by learned weights that sum to one.

  States differ in scale, so each is normalised first.
  """

  def __init__(self, audio):
    super().__init__()
    self.eps = audio.level_eps
    self.states = nn.Parameter(torch.zeros(audio.states))

  def forward(self, x):
    """[..., A, F] -> [..., A, F / states]."""
    x = x.unflatten(-1, (len(self.states), -1)).movedim(-2, -3)
    levelled = norm(x.flatten(-2), self.eps).unflatten(-1, x.shape[-2:])
    share = self.states.float().softmax(0)[:, None, None]
    return (levelled * share).sum(-3)


class Hearing(nn.Module):
  """Strided convolutions, then two dense layers over all that is left."""

  def __init__(self, cfg):
    super().__init__()
    self.cfg, audio = cfg, cfg.audio
    if audio.states > 1:
      self.mixing = Mixing(audio)
    inside = [audio.bins // audio.states]
    inside += [cfg.width] * (audio.convolutions - 1)
    self.conv = nn.ModuleList(
      Convolution(bins, cfg.width, audio.taps) for bins in inside
    )
    steps = cfg.audio_features // audio.bins
    for _ in range(audio.convolutions):
      steps = -(-steps // 2)
    self.mix = Linear(steps * cfg.width, cfg.width)
    self.tokens = Linear(cfg.width, audio.tokens * cfg.width)

  def forward(self, audio):
    """The features of a frame [..., F] -> its audio tokens [..., M', D]."""
    cfg, activation = self.cfg, ACTIVATIONS[self.cfg.activation]
    if cfg.audio.states > 1:
      heard = self.mixing(audio.unflatten(-1, (-1, cfg.audio.bins)))
    else:
      heard = norm(audio, cfg.audio.level_eps)
      heard = heard.unflatten(-1, (-1, cfg.audio.bins))
    for convolution in self.conv:
      heard = activation(convolution(heard))
    heard = activation(self.mix(heard.flatten(-2)))
    return self.tokens(heard).unflatten(-1, (cfg.audio.tokens, cfg.width))


class Conditions(nn.Module):
  """Signals of a frame -> its condition tokens; nulls for the rest."""

  def __init__(self, cfg):
    super().__init__()
    self.cfg = cfg
    shape = (cfg.condition_tokens, cfg.width)
    self.null = nn.Parameter(0.02 * torch.randn(shape))
    self.signal_type = nn.Parameter(0.02 * torch.randn(shape))
    for control in cfg.controls:
      inside = cfg.stride * control.size
      self.add_module(f"{control.name}_in", Linear(inside, cfg.width))
      self.add_module(f"{control.name}_out", Linear(cfg.width, cfg.width))
    self.hearing = Hearing(cfg)

  def forward(self, audio, audio_given, controls):
    """Embeds what is given.

    Args:
      audio: [..., F].
      audio_given: [...] bool.
      controls: {name: {"value": [..., s*size or s], "given": [...] bool}}; a
        category is its index.

    Returns:
      [..., M, D].
    """
    tokens, given = [], []
    for control in self.cfg.controls:
      signal = controls[control.name]
      value = signal["value"]
      if control.kind == "categorical":
        value = F.one_hot(value.long(), control.size).float().flatten(-2)
      hidden = self.get_submodule(f"{control.name}_in")(value)
      hidden = ACTIVATIONS[self.cfg.activation](hidden)
      hidden = self.get_submodule(f"{control.name}_out")(hidden)
      tokens.append(hidden[..., None, :])
      given.append(signal["given"][..., None])
    tokens.append(self.hearing(audio))
    given += [audio_given[..., None]] * self.cfg.audio.tokens
    given = torch.cat(given, dim=-1)[..., None]
    return (
      torch.where(given, torch.cat(tokens, dim=-2), self.null)
      + self.signal_type
    )


# --- Backbone: SFA


class LayerCache(NamedTuple):
  """What one layer of a stream remembers; `step` overwrites the ring in place.

  Attributes:
    k, v: un-rotated keys and values of the last W frames, [B W N H K].
    sink_k, sink_v: of the sink, keys rotated to its place, [B J H K].
  """

  k: torch.Tensor
  v: torch.Tensor
  sink_k: torch.Tensor
  sink_v: torch.Tensor


class Layer(nn.Module):
  """One SFA layer, with three entries: the sink, a clip, one streamed block."""

  def __init__(self, cfg, last):
    super().__init__()
    self.cfg, self.last = cfg, last
    self.modulation = Modulation(cfg.width, cfg.sink_rank, cfg.width, 6)
    self.attention = Heads(cfg.width, cfg.heads, key_bias=True)
    self.merge = MergeHeads(cfg.width)
    self.mlp = Mlp(cfg.width, cfg.mlp_ratio, cfg.activation)

  def _attention_inputs(self, x, modulation):
    shift, scale = modulation[:2]
    return self.attention(norm(x, self.cfg.norm_eps) * (1 + scale) + shift)

  def _rest(self, x, attended, modulation):
    if self.last:  # nobody reads the conditions after the last layer
      skip = self.cfg.condition_tokens
      x, *modulation = (y[..., skip:, :] for y in (x, *modulation))
      attended = attended[..., skip:, :, :]
    gate_attention, shift, scale, gate_mlp = modulation[-4:]
    x = x + gate_attention * self.merge(attended)
    return x + gate_mlp * self.mlp(
      norm(x, self.cfg.norm_eps) * (1 + scale) + shift
    )

  def _place(self, block):
    """Positions of blocks by their number."""
    if self.cfg.positions == "cyclic":
      return block % (self.cfg.window + 1)
    return block

  def _turn(self, x, position):
    return rotate(x, position, self.cfg.rotary_base)

  def sink(self, sink_BJD, anchor_BJD):
    """The sink's next state (None after the last layer), keys and values."""
    modulation = self.modulation(anchor_BJD)
    q, k, v = self._attention_inputs(sink_BJD, modulation)
    if "sink" in self.cfg.without:
      return sink_BJD, k[:, :0], v[:, :0]
    if self.last:
      return None, k, v
    # Each sink frame's tokens see each other, whatever frame they are of.
    return self._rest(sink_BJD, attend(q, k, v), modulation), k, v

  def clip(self, x_BTPD, sink, modulator_BTPD, first_B):
    """A whole clip, teacher-forced: every block against its own window.

    Args:
      x_BTPD: blocks.
      sink: (keys, values) from `sink`, un-rotated.
      modulator_BTPD: see `EARTalking.modulator`.
      first_B: number of each clip's first block.
    """
    cfg, (b, t) = self.cfg, x_BTPD.shape[:2]
    m, n, w, j = cfg.condition_tokens, cfg.tokens, cfg.window, sink[0].shape[1]
    modulation = self.modulation(modulator_BTPD)
    q, k, v = self._attention_inputs(x_BTPD, modulation)
    block_T = torch.arange(t, device=q.device)
    place_BT1 = self._place(first_B[:, None] + block_T)[..., None]
    q, k = self._turn(q, place_BT1), self._turn(k, place_BT1)
    away = cfg.sink_distance
    sink_place = -away if cfg.positions == "relative" else away - place_BT1
    sink_k = self._turn(
      sink[0][:, None].expand(b, t, -1, -1, -1), place_BT1 + sink_place
    )
    sink_v = sink[1][:, None].expand(b, t, -1, -1, -1)

    def window(x):
      """[B T P H K] -> frames of the W blocks up to each, [B T W*N H K]."""
      x = F.pad(x[:, :, m:], (0, 0) * 3 + (w - 1, 0)).unfold(1, w, 1)
      return x.movedim(-1, 2).flatten(2, 3)

    k = torch.cat([sink_k, k[:, :, :m], window(k)], dim=2)
    v = torch.cat([sink_v, v[:, :, :m], window(v)], dim=2)
    age_W = torch.arange(w - 1, -1, -1, device=q.device)
    seen_TW = age_W <= block_T[:, None]
    seen_TR = F.pad(seen_TW.repeat_interleave(n, dim=1), (j + m, 0), value=True)
    mask = seen_TR[None].expand(b, -1, -1).reshape(b * t, 1, 1, -1)
    attended = attend(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), mask)
    return self._rest(x_BTPD, attended.unflatten(0, (b, t)), modulation)

  def open(self, k_BJHK, v_BJHK):
    """An empty cache beside a sink whose keys come un-rotated."""
    cfg, (b, _, h, k) = self.cfg, k_BJHK.shape
    ring = k_BJHK.new_zeros(b, cfg.window, cfg.tokens, h, k)
    sign = -1 if cfg.positions == "relative" else 1
    place = k_BJHK.new_full((1, 1), sign * cfg.sink_distance)
    return LayerCache(ring, ring.clone(), self._turn(k_BJHK, place), v_BJHK)

  def step(self, x_BPD, modulator_BPD, cache, count_B):
    """One block against the cache, which it joins."""
    m, w = self.cfg.condition_tokens, self.cfg.window
    modulation = self.modulation(modulator_BPD)
    q, k, v = self._attention_inputs(x_BPD, modulation)
    row_B = torch.arange(len(count_B), device=q.device)
    cache.k[row_B, count_B % w] = k[:, m:]
    cache.v[row_B, count_B % w] = v[:, m:]
    age_BW = (count_B[:, None] - torch.arange(w, device=q.device)) % w
    # Seen from the query: the numbers of an old stream would lose their bits.
    place_BW, sink_k = -age_BW, cache.sink_k
    if self.cfg.positions == "cyclic":
      place_B1 = self._place(count_B)[:, None]
      place_BW = self._place(count_B[:, None] - age_BW) - place_B1
      sink_k = self._turn(sink_k, -place_B1)
    ring_k = self._turn(cache.k, place_BW[..., None]).flatten(1, 2)
    keys = torch.cat([sink_k, k[:, :m], ring_k], dim=1)
    values = torch.cat([cache.sink_v, v[:, :m], cache.v.flatten(1, 2)], dim=1)
    filled_BR = (age_BW <= count_B[:, None]).repeat_interleave(
      self.cfg.tokens, dim=1
    )
    others = sink_k.shape[1] + m
    mask = F.pad(filled_BR, (others, 0), value=True)[:, None, None]
    return self._rest(x_BPD, attend(q, keys, values, mask), modulation)


# --- Heads


class HeadLayer(nn.Module):
  """Attention within a frame; norms and gates follow a condition."""

  def __init__(self, cfg, width, heads, rank):
    super().__init__()
    self.eps = cfg.norm_eps
    self.modulation = Modulation(width, rank, width, 6)
    self.attention = Heads(width, heads, key_bias=False)
    self.merge = MergeHeads(width)
    self.mlp = Mlp(width, cfg.mlp_ratio, cfg.activation)

  def forward(self, x, condition):
    """Both [..., N, E]."""
    shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.modulation(
      condition
    )
    q, k, v = self.attention(norm(x, self.eps) * (1 + scale_a) + shift_a)
    lead = q.shape[:-3]
    flat = (y.reshape(-1, *y.shape[-3:]) for y in (q, k, v))
    x = x + gate_a * self.merge(attend(*flat).reshape(*lead, *q.shape[-3:]))
    return x + gate_m * self.mlp(norm(x, self.eps) * (1 + scale_m) + shift_m)


class FlowHead(nn.Module):
  """Cleans a frame's tokens jointly; see `FlowHeadConfig`."""

  def __init__(self, cfg):
    super().__init__()
    self.cfg, head = cfg, cfg.head
    width = head.width
    self.position = nn.Parameter(0.5 * torch.randn(1, cfg.tokens, width))
    self.time_in = Linear(width, width)
    self.time_out = Linear(width, width)
    self.h_in = Linear(cfg.width, width)
    self.token_in = Linear(cfg.token_width, width)
    self.layers = nn.ModuleList(
      HeadLayer(cfg, width, head.heads, head.rank) for _ in range(head.depth)
    )
    self.token_out = Linear(width, cfg.token_width)
    nn.init.zeros_(self.token_out.weight)

  def read(self, features):
    """What all steps share of a frame's features, from `EARTalking.finish`."""
    h, guess = features
    return self.h_in(h), guess

  def forward(self, noisy, time, read):
    """The clean deviations [..., N, c] of noisy ones at flow time [...]."""
    h, guess = read
    top_rate = self.cfg.sinusoid_top_rate
    time = sinusoids(time, self.cfg.head.width, top_rate)
    time = self.time_out(F.silu(self.time_in(time)))
    condition = h + time[..., None, :]
    x = self.token_in(noisy) + self.position + h
    for layer in self.layers:
      x = layer(x, condition)
    return guess + self.token_out(norm(x, self.cfg.norm_eps)).float()

  def loss(self, target, features, draws):
    """The error of each frame; target [B T N c]."""
    read = [y[None] for y in self.read(features)]
    return _flow_loss(self, target, read, draws, self.cfg.head.smallest_rest)

  def sample(self, features, noise, guidance):
    """New deviations [B N c]."""
    read, head = self.read(features), self.cfg.head

    def denoise(x_BNc, time):
      time = x_BNc.new_full((1,), time)
      return guidance.combine(self(guidance.repeat(x_BNc), time, read))

    return _euler(denoise, head.temperature * noise.start, head)


def flow_times(steps, shift):
  """The times of Euler steps, in float32 as the network is told them."""
  grid = np.linspace(0.0, 1.0, steps + 1)
  return (grid / (grid + shift * (1 - grid))).astype(np.float32)


def _euler(denoise, x, head):
  """From noise (t = 0) to data (t = 1)."""
  times = flow_times(head.steps, head.shift)
  for time, after in zip(times[:-1], times[1:], strict=True):
    share = float((after - time) / (1 - time))
    x = x + share * (denoise(x, float(time)) - x)
  return x


def _flow_loss(denoise, target, read, draws, smallest_rest):
  """Flow matching of a network that predicts data (arXiv 2210.02747)."""
  time = draws.time[..., None, None]
  noisy = (1 - time) * draws.noise + time * target[None]
  error = (denoise(noisy, draws.time, read) - target[None]).square()
  rest = (1 - draws.time).clamp(min=smallest_rest)
  return (error.mean(dim=(-2, -1)) / rest.square()).mean(dim=0)


class DenoiserLayer(nn.Module):
  """A residual layer of the MLP; its norm and gate follow a condition."""

  def __init__(self, cfg):
    super().__init__()
    width, self.eps = cfg.head.denoiser_width, cfg.norm_eps
    self.modulation = Modulation(width, cfg.head.rank, width, 3)
    self.up = Linear(width, width)
    self.down = Linear(width, width)

  def forward(self, x, condition):
    """Both [..., F]."""
    shift, scale, gate = self.modulation(condition)
    y = norm(x, self.eps) * (1 + scale) + shift
    return x + gate * self.down(F.silu(self.up(y)))


class Denoiser(nn.Module):
  """A noisy token, its time and its context -> what the process asks for."""

  def __init__(self, cfg):
    super().__init__()
    self.cfg, width = cfg, cfg.head.denoiser_width
    self.time_in = Linear(width, width)
    self.time_out = Linear(width, width)
    self.context_in = Linear(cfg.head.width, width)
    self.token_in = Linear(cfg.token_width, width)
    self.layers = nn.ModuleList(
      DenoiserLayer(cfg) for _ in range(cfg.head.denoiser_depth)
    )
    self.token_out = Linear(width, cfg.token_width)
    nn.init.zeros_(self.token_out.weight)

  def forward(self, noisy, time, context):
    """[..., c], [...] and [..., E], the last already through `context_in`."""
    top_rate = self.cfg.sinusoid_top_rate
    time = sinusoids(time, self.cfg.head.denoiser_width, top_rate)
    condition = self.time_out(F.silu(self.time_in(time))) + context
    x = self.token_in(noisy)
    for layer in self.layers:
      x = layer(x, condition)
    return self.token_out(norm(x, self.cfg.norm_eps)).float()


class MaskedHead(nn.Module):
  """Tokens set by set (MAR, arXiv 2406.11838); see `MaskedHeadConfig`."""

  def __init__(self, cfg):
    super().__init__()
    self.cfg, head = cfg, cfg.head
    self.position = nn.Parameter(0.5 * torch.randn(1, cfg.tokens, head.width))
    self.unknown = nn.Parameter(0.02 * torch.randn(1, 1, head.width))
    self.token_in = Linear(cfg.token_width, head.width)
    self.h_in = Linear(cfg.width, head.width)
    self.layers = nn.ModuleList(
      HeadLayer(cfg, head.width, head.heads, head.rank)
      for _ in range(head.depth)
    )
    self.denoiser = Denoiser(cfg)

  def context(self, tokens, known, h):
    """What each token has to go by, [..., N, E]; `h` is through `h_in`."""
    x = torch.where(known[..., None], self.token_in(tokens), self.unknown[0])
    x = x + self.position[0] + h
    for layer in self.layers:
      x = layer(x, h)
    return norm(x, self.cfg.norm_eps)

  def _denoise(self, noisy, time, context, guess):
    """Clean tokens (flow) or noise; `context` is through `context_in`."""
    of_flow = self.cfg.head.process == "flow"
    signal = time if of_flow else torch.sin(math.pi / 2 * time)
    noisy = noisy - signal[..., None] * guess
    out = self.denoiser(noisy, time, context)
    return out + guess if of_flow else out

  def loss(self, target, features, draws):
    """The error of each frame's hidden tokens; target [B T N c]."""
    (h, guess), head = features, self.cfg.head
    context = self.context(target, ~draws.hidden, self.h_in(h))
    context = self.denoiser.context_in(context)[None]

    def denoise(noisy, time, read):
      out = self._denoise(noisy[..., 0, :], time, *read)
      return out[..., None, :]

    read, target = (context, guess[None]), target[..., None, :]
    if head.process == "flow":
      error = _flow_loss(denoise, target, read, draws, head.smallest_rest)
    else:
      angle = math.pi / 2 * draws.time[..., None, None]
      noisy = angle.sin() * target[None] + angle.cos() * draws.noise
      error = denoise(noisy, draws.time, read) - draws.noise
      error = error.square().mean(dim=(0, -2, -1))
    error = torch.where(draws.hidden, error, 0.0)
    return error.sum(dim=-1) / draws.hidden.sum(dim=-1)

  def sample(self, features, noise, guidance):
    """New deviations [B N c]; guidance grows with the share that is known."""
    (h, guess), head = features, self.cfg.head
    h, begin = self.h_in(h), 0
    tokens = torch.zeros_like(noise.start)
    known = torch.zeros(tokens.shape[:2], dtype=torch.bool, device=h.device)
    for size in set_sizes(self.cfg.tokens, head.sets):
      part = slice(begin, begin + size)
      place = noise.order[:, part]
      context = self.context(guidance.repeat(tokens), guidance.repeat(known), h)
      at = guidance.repeat(place)[..., None]
      context = context.gather(1, at.expand(-1, -1, context.shape[-1]))
      context = self.denoiser.context_in(context)
      there = guess.gather(1, at.expand(-1, -1, guess.shape[-1]))
      begin += size
      ramp = begin / self.cfg.tokens

      def predict(x, time, context=context, there=there, ramp=ramp):
        time = x.new_full((1, 1), time)
        out = self._denoise(guidance.repeat(x), time, context, there)
        return guidance.combine(out, ramp)

      start, fresh = noise.start[:, part], noise.fresh[:, :, part]
      if head.process == "flow":
        new = _euler(predict, head.temperature * start, head)
      else:
        new = _ancestral(predict, start, head.temperature * fresh, head)
      index = place[..., None].expand_as(new)
      tokens = tokens.scatter(1, index, new)
      known = known.scatter(1, place, True)
    return tokens


def _ancestral(predict, x, fresh, head):
  """Steps of a network that predicts noise (DDPM), cosine times."""
  times = np.linspace(head.first_time, 1.0, head.steps + 1)
  alpha, sigma = np.sin(np.pi / 2 * times), np.cos(np.pi / 2 * times)
  sigma[-1] = 0.0
  ratio = alpha[:-1] / alpha[1:]
  added = sigma[:-1] ** 2 - ratio**2 * sigma[1:] ** 2
  noisy = ratio * sigma[1:] ** 2 / sigma[:-1] ** 2
  clean = alpha[1:] * added / sigma[:-1] ** 2
  spread = np.sqrt(added) * sigma[1:] / sigma[:-1]
  for i in range(head.steps):
    time = float(np.float32(times[i]))
    away = (x - float(sigma[i]) * predict(x, time)) / float(alpha[i])
    x = float(noisy[i]) * x + float(clean[i]) * away
    x = x + float(spread[i]) * fresh[:, i]
  return x


# --- Guidance


class Guidance(NamedTuple):
  """Classifier-free guidance: full + sum (scale - 1) * (full - without).

  Attributes:
    names: "audio" or controls, each one more branch of rows.
    scales: one [B] for each name; 1 changes nothing.
  """

  names: tuple = ()
  scales: tuple = ()

  def repeat(self, x):
    """[B ...] -> [Z*B ...], the same for all branches."""
    return torch.cat([x] * (1 + len(self.names)))

  def branches(self, signals):
    """A frame's conditions -> those of all branches, the full one first."""

    def given(name, now):
      blank = torch.zeros_like(now)
      return torch.cat(
        [now] + [blank if name == n else now for n in self.names]
      )

    return {
      "audio": self.repeat(signals["audio"]),
      "audio_given": given("audio", signals["audio_given"]),
      "controls": {
        name: {
          "value": self.repeat(signal["value"]),
          "given": given(name, signal["given"]),
        }
        for name, signal in signals["controls"].items()
      },
    }

  def combine(self, out, ramp=1.0):
    """Predictions of the branches [Z*B ...] -> the guided one [B ...]."""
    full, *without = out.chunk(1 + len(self.names))
    guided = full
    for scale, other in zip(self.scales, without, strict=True):
      scale = scale.reshape(-1, *[1] * (full.ndim - 1))
      guided = guided + ramp * (scale - 1) * (full - other)
    return guided


NO_GUIDANCE = Guidance()

# --- Tokenizer


class TokenizerBlock(nn.Module):
  """Full attention and an MLP, pre-norm: [B N D] -> [B N D]."""

  def __init__(self, cfg):
    super().__init__()
    self.attention_norm = nn.LayerNorm(cfg.width, cfg.norm_eps)
    self.attention = Heads(cfg.width, cfg.heads, key_bias=False)
    self.merge = MergeHeads(cfg.width)
    self.mlp_norm = nn.LayerNorm(cfg.width, cfg.norm_eps)
    self.mlp = Mlp(cfg.width, cfg.mlp_ratio, cfg.activation)

  def forward(self, x):
    """[B N D] -> [B N D]."""
    x = x + self.merge(attend(*self.attention(self.attention_norm(x))))
    return x + self.mlp(self.mlp_norm(x))


class TokenizerStack(nn.Module):
  """[B N in] -> [B N out]: a transformer with a linear map around it."""

  def __init__(self, cfg, inside, depth, outside):
    super().__init__()
    tokens = (cfg.size // cfg.patch) ** 2
    self.position = nn.Parameter(0.02 * torch.randn(tokens, cfg.width))
    self.enter = Linear(inside, cfg.width)
    self.block = nn.ModuleList(TokenizerBlock(cfg) for _ in range(depth))
    self.norm = nn.LayerNorm(cfg.width, cfg.norm_eps)
    self.out = Linear(cfg.width, outside)
    self.linear = Linear(inside, outside, bias=False)

  def forward(self, x):
    """[B N in] -> [B N out]."""
    y = self.enter(x) + self.position
    for block in self.block:
      y = block(y)
    return self.out(self.norm(y)) + self.linear(x)


class _Pretrained(nn.Module):
  """Folders in the manner of Hugging Face: config.json, model.safetensors."""

  config_class = None

  @classmethod
  def from_pretrained(cls, folder, dtype=None, device="cpu"):
    """Loads a folder; every key and every tensor must be known and there.

    Args:
      folder: a local folder.
      dtype: torch.float32 or torch.bfloat16; as stored unless given.
      device: such as "cuda".

    Raises:
      FileNotFoundError, ValueError: something is missing, unknown or of a
        wrong shape.
    """
    folder = pathlib.Path(folder)
    path = folder / "config.json"
    config = strict(cls.config_class, read_json(path), str(path))
    try:
      with torch.device("meta"):
        model = cls(config)
    except RuntimeError as error:
      raise ValueError(
        f"{path} asks for impossible sizes ({_short(str(error))})"
      ) from None
    model.load_strictly(load_tensors(folder), folder)
    model._load_parts(folder)
    dtype = dtype or getattr(torch, config.dtype)
    return model.to(device=device, dtype=dtype).eval()

  def _load_parts(self, folder):
    """What lies in folders of its own."""

  def load_strictly(self, tensors, source):
    """Takes over {name: tensor}; all names and shapes must be the model's."""
    wanted = {k: tuple(v.shape) for k, v in self.state_dict().items()}
    found = {k: tuple(v.shape) for k, v in tensors.items()}
    if wanted != found:
      unknown, missing = sorted(found.keys() - wanted), wanted.keys() - found
      other = [k for k in wanted.keys() & found if wanted[k] != found[k]]
      raise ValueError(
        f"{source} is not of this model: unknown tensors {unknown[:5]}, "
        f"{sorted(missing)[:5]}, of another shape "
        f"{[(k, found[k], wanted[k]) for k in sorted(other)[:5]]}"
      )
    other = {str(v.dtype).removeprefix("torch.") for v in tensors.values()}
    if not other <= set(_DTYPES):
      raise ValueError(f"{source} holds {sorted(other)}; known: {_DTYPES}")
    self.load_state_dict(tensors, strict=True, assign=True)
    self.requires_grad_(True)

  def save_pretrained(self, folder):
    """Writes a folder like the one it came from, in its present precision.

    It may be that one itself: each file is there whole, the old or the new.

    Raises:
      ValueError: its precision is none that could be loaded.
    """
    dtype = str(next(self.parameters()).dtype).removeprefix("torch.")
    if dtype not in _DTYPES:
      raise ValueError(f"{dtype} is not stored; known: {_DTYPES}")
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = dataclasses.asdict(self.cfg) | {"dtype": dtype}
    tensors = {
      k: v.detach().cpu().contiguous() for k, v in self.state_dict().items()
    }
    with _replacing(folder / "model.safetensors") as path:
      save_file(tensors, path, {"format": "pt"})
    (folder / "model.safetensors.index.json").unlink(missing_ok=True)
    text = json.dumps(config, indent=1, sort_keys=True) + "\n"
    _write(folder / "config.json", text.encode())


@contextlib.contextmanager
def _replacing(path):
  """Yields a name beside `path` to write; what `path` names stays till then.

  It may be mapped into memory: cut short under a tensor, it would crash.
  """
  partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
  try:
    yield partial
    os.replace(partial, path)
  finally:
    partial.unlink(missing_ok=True)


def _write(path, content):
  with _replacing(path) as partial:
    partial.write_bytes(content)


def load_tensors(folder):
  """All tensors of model.safetensors, or of the shards that its index names.

  Raises:
    FileNotFoundError, ValueError: a file is missing, damaged, or elsewhere.
  """
  index = folder / "model.safetensors.index.json"
  if not index.is_file():
    return _load_file(folder / "model.safetensors")
  where = _object(read_json(index), str(index)).get("weight_map")
  where = _object(where, f"{index}: weight_map")
  for name in where.values():
    # A name in the folder itself, for any system.
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name):
      raise ValueError(f"{index}: {_short(name)} is no file of the folder")
  tensors = {}
  for name in sorted(set(where.values())):
    part = _load_file(folder / name)
    wanted = {tensor for tensor, file in where.items() if file == name}
    if part.keys() != wanted:
      wrong = sorted(part.keys() ^ wanted)
      raise ValueError(f"{index} and {name} disagree about {wrong[:5]}")
    tensors |= part
  return tensors


def _load_file(path):
  if not path.is_file():
    raise FileNotFoundError(f"there is no {path}; give the exported folder")
  try:
    return load_file(path)
  except Exception as error:  # the reader has no error of its own for most
    raise ValueError(
      f"{path} is damaged ({_short(str(error))}); export it again"
    ) from None


class Tokenizer(_Pretrained):
  """Pictures to normalised latents and back; nothing is remembered."""

  config_class = TokenizerConfig

  def __init__(self, cfg):
    super().__init__()
    self.cfg = cfg
    patch = 3 * cfg.patch**2
    self.encoder = TokenizerStack(
      cfg, patch, cfg.encoder_depth, 2 * cfg.channels
    )
    self.decoder = TokenizerStack(
      cfg, 9 * cfg.channels, cfg.decoder_depth, patch
    )

  def encode(self, frames_BYX3):
    """uint8 pictures -> normalised latents [B h w C]."""
    cfg = self.cfg
    x = frames_BYX3.float() / 255
    moments = self.encoder(to_tokens(2 * x - 1, cfg.patch)).float()
    h, w, channels = cfg.latent_shape
    moments = to_latents(moments, (h, w, 2 * channels), 1)
    mean = moments.new_tensor(cfg.latent_mean)
    return (moments[..., :channels] - mean) / cfg.latent_std

  def open(self, portrait_BhwC):
    """The decoder's state before the first step, from a portrait's latents."""
    return ()

  def step(self, state, latents_BhwC):
    """Normalised latents -> (the state after them, frames [B s Y X 3]).

    Frames are about in [0, 1]: whoever cuts what is beyond, hides what is
    infinite.
    """
    return state, self.pictures(latents_BhwC)[:, None]

  def pictures(self, latents_BhwC):
    """Normalised latents -> pictures about in [0, 1], [B Y X 3]."""
    cfg = self.cfg
    raw = latents_BhwC * cfg.latent_std + latents_BhwC.new_tensor(
      cfg.latent_mean
    )
    # Each place with the 3 x 3 around it; the border's nearest is repeated.
    # Joined, not padded: torch 2.13 cannot compile a padding here.
    _, h, w, _ = raw.shape
    wide = torch.cat([raw[:, :1], raw, raw[:, -1:]], dim=1)
    wide = torch.cat([wide[:, :, :1], wide, wide[:, :, -1:]], dim=2)
    around = [wide[:, y : y + h, x : x + w] for y in range(3) for x in range(3)]
    patches = self.decoder(to_tokens(torch.cat(around, dim=-1), 1)).float()
    pictures = to_latents(patches, (cfg.size, cfg.size, 3), cfg.patch)
    return (pictures + 1) / 2


# --- The model


def _encoders():
  """The module modeling_encoders.py beside this one."""
  path = pathlib.Path(__file__).with_name("modeling_encoders.py")
  if not path.is_file():
    raise FileNotFoundError(f"there is no {path}; copy it from the folder")
  spec = importlib.util.spec_from_file_location("modeling_encoders", path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


class StreamState(NamedTuple):
  """All that streams remember: a fixed size, whatever their age.

  Attributes:
    count_B: frames made so far.
    previous_BNc: tokens of the last frame.
    sink_BNc: tokens of the portrait.
    anchor_BJD: the sink's embedding, for the adaptive norms.
    portrait_BE: the portrait's own conditions, embedded.
    caches: a LayerCache for each layer; overwritten by `step`.
    decoder: what the tokenizer remembers.
  """

  count_B: torch.Tensor
  previous_BNc: torch.Tensor
  sink_BNc: torch.Tensor
  anchor_BJD: torch.Tensor
  portrait_BE: torch.Tensor
  caches: tuple
  decoder: typing.Any


class TrainingDraws(NamedTuple):
  """The randomness of one training loss.

  Attributes:
    level: [B T], noise levels of the history; history: [B T N c], its noise.
    first: [B], number of each clip's first block.
    time, noise: of the head, [R B T] and [R B T N c]; of a masked head
      [R B T N] and [R B T N 1 c].
    hidden: [B T N] bool, for masked heads.
  """

  level: torch.Tensor
  history: torch.Tensor
  first: torch.Tensor
  time: torch.Tensor
  noise: torch.Tensor
  hidden: torch.Tensor | None


class EARTalking(_Pretrained):
  """Portrait, past frames and a frame's conditions -> the frame."""

  config_class = Config

  def __init__(self, cfg):
    super().__init__()
    self.cfg = cfg
    shape, flat = (cfg.tokens, cfg.width), 2 * cfg.condition_tokens * cfg.width
    self.position = nn.Parameter(0.5 * torch.randn(shape))
    self.start = nn.Parameter(0.02 * torch.randn(shape))
    self.sink_type = nn.Parameter(0.02 * torch.randn(cfg.width))
    self.conditions = Conditions(cfg)
    self.frame_in = Linear(cfg.token_width, cfg.width)
    self.beside = Linear(cfg.token_width, cfg.width)
    self.level_in = Linear(cfg.width, cfg.width)
    self.trust = Linear(cfg.width, cfg.token_width)
    self.guess = Linear(cfg.token_width, cfg.token_width, bias=False)
    self.layers = nn.ModuleList(
      Layer(cfg, last=i == cfg.depth - 1) for i in range(cfg.depth)
    )
    self.direct = Linear(flat, cfg.patterns)
    self.patterns = nn.Parameter(torch.randn(cfg.patterns, *shape))
    self.head = (FlowHead if cfg.head.kind == "flow" else MaskedHead)(cfg)
    # Not parts of these weights: `from_pretrained` puts them here. The last is
    # what training.json holds, for the way back.
    self.__dict__["tokenizer"] = self.__dict__["speech"] = None
    self.__dict__["training_json"] = None

  def _load_parts(self, folder):
    of_tokenizer, of_speech = folder / "tokenizer", folder / "speech"
    if self.cfg.tokenizer.kind == "patches":
      tokenizer = Tokenizer.from_pretrained(of_tokenizer)
      if tokenizer.cfg != self.cfg.tokenizer:
        raise ValueError(f"{of_tokenizer} is not the one of config.json")
    else:
      tokenizer = _encoders().load_tokenizer(
        self.cfg.tokenizer, of_tokenizer, fixed_noise
      )
    if self.cfg.speech.kind == "mel":
      speech = Mel(self.cfg)
    else:
      speech = _encoders().load_speech(self.cfg, of_speech)
    self.__dict__["tokenizer"], self.__dict__["speech"] = tokenizer, speech
    path = folder / "training.json"
    if path.is_file():
      self.__dict__["training_json"] = path.read_bytes()

  def _apply(self, function, recurse=True):
    # Encoders go along to other devices, in a precision of their own.
    super()._apply(function, recurse)
    for part in (self.tokenizer, self.speech):
      if isinstance(part, nn.Module):
        part.to(self.position.device)
    return self

  def save_pretrained(self, folder):
    """Writes a folder like the one it came from, encoders included."""
    super().save_pretrained(folder)
    folder, here = pathlib.Path(folder), pathlib.Path(__file__)
    self.tokenizer.save_pretrained(folder / "tokenizer")
    files = [here]
    if self.cfg.speech.kind != "mel":
      self.speech.save_pretrained(folder / "speech")
    if self.cfg.needs_encoders:
      files.append(here.with_name("modeling_encoders.py"))
    if self.training_json is not None:
      _write(folder / "training.json", self.training_json)
    for file in files:
      target = folder / file.name
      if not (target.exists() and os.path.samefile(file, target)):
        _write(target, file.read_bytes())

  def opening(self, sink_BSNc):
    """(tokens before the first frame, tokens of the sink) of a portrait."""
    portrait_BNc = sink_BSNc[:, 0]
    if "sink" in self.cfg.without:
      return portrait_BNc, torch.zeros_like(sink_BSNc)
    return torch.zeros_like(portrait_BNc), sink_BSNc

  def embed_sink(self, sink_BSNc):
    """The sink frames' tokens -> (sink_BJD, anchor_BJD for adaptive norms)."""
    x = self.frame_in(sink_BSNc) + (self.position + self.sink_type).float()
    sink_BJD = x.flatten(1, 2)
    if {"anchor", "sink"} & set(self.cfg.without):
      return sink_BJD, torch.zeros_like(sink_BJD)
    return sink_BJD, sink_BJD

  def embed_portrait(self, signals):
    """The portrait's own conditions -> [B M*D]; nulls where unknown."""
    return self.conditions(**signals).flatten(-2)

  def modulator(self, anchor_BJD, direct):
    """What modulates a block's tokens, [..., P, D]; see the paper's anchor."""
    anchor = anchor_BJD[:, : self.cfg.tokens]
    anchor = anchor.reshape(
      anchor.shape[0], *[1] * (direct.ndim - 3), *anchor.shape[1:]
    )
    mean = anchor.mean(dim=-2, keepdim=True)
    shape = (*direct.shape[:-2], self.cfg.condition_tokens, direct.shape[-1])
    return torch.cat([mean.expand(shape), anchor + direct], dim=-2)

  def embed_block(self, previous, level, started, sink, portrait, signals):
    """Builds a frame's block.

    Args:
      previous: [..., N, c] tokens of the frame before, noised.
      level: [...] the level of that noise.
      started: [...] bool; False where there is no frame before.
      sink: tokens of the portrait, broadcastable to `previous`.
      portrait: from `embed_portrait`, broadcastable to [..., M*D].
      signals: {"audio", "audio_given", "controls"} as Conditions takes them.

    Returns:
      (block [..., P, D], what reaches the head around the backbone).
    """
    cfg = self.cfg
    condition = self.conditions(**signals)
    flat = condition.flatten(-2)
    flat = torch.cat([flat, portrait.expand_as(flat)], dim=-1)
    direct = self.direct(flat) @ self.patterns.flatten(1)
    direct = norm(direct.unflatten(-1, (cfg.tokens, cfg.width)), cfg.norm_eps)
    if "direct" in cfg.without:
      direct = torch.zeros_like(direct)
    loudness = (1 + level.square())[..., None, None]
    fourier = sinusoids(level, cfg.width, cfg.sinusoid_top_rate)
    seen = self.frame_in(previous / loudness.sqrt())
    seen = seen + self.level_in(fourier)[..., None, :]
    started = started[..., None, None]
    frame = torch.where(started, seen, self.start).float()
    frame = frame + self.beside(sink) + direct + self.position
    # A linear guess of the frame's deviation from that of the last frame.
    away = torch.where(started, previous - sink, 0.0)
    trust = 1 + self.trust(fourier).float()[..., None, :]
    guess = self.guess(trust * away / loudness).float()
    return torch.cat([condition.float(), frame], dim=-2), (direct, guess)

  def finish(self, frame, beside):
    """The last layer's [..., N, D] -> (h [..., N, D], guess [..., N, c])."""
    direct, guess = beside
    return norm(frame, self.cfg.norm_eps) + direct, guess

  def hidden(
    self, previous_BTNc, level_BT, sink_BSNc, portrait, signals, first_B
  ):
    """A whole clip at once, teacher-forced: what the head reads, for [B T].

    Args:
      previous_BTNc, level_BT: the frames before and the levels of their noise.
      sink_BSNc: tokens of the sink frames.
      portrait, signals: conditions of the portraits [B], of all frames [B T].
      first_B: number of each clip's first block, for cyclic positions.
    """
    started_BT = torch.ones_like(level_BT, dtype=torch.bool)
    if "sink" not in self.cfg.without:
      started_BT = started_BT & (torch.arange(level_BT.shape[1]) > 0).to(
        level_BT.device
      )
    x_BTPD, beside = self.embed_block(
      previous_BTNc,
      level_BT,
      started_BT,
      sink_BSNc[:, :1],
      self.embed_portrait(portrait)[:, None],
      signals,
    )
    sink_BJD, anchor_BJD = self.embed_sink(sink_BSNc)
    modulator_BTPD = self.modulator(anchor_BJD, beside[0])
    for layer in self.layers:
      sink_BJD, *sink = layer.sink(sink_BJD, anchor_BJD)
      x_BTPD = layer.clip(x_BTPD, sink, modulator_BTPD, first_B)
    return self.finish(x_BTPD, beside)

  def training_draws(self, clips, frames, generator=None):
    """Fresh TrainingDraws for `clips` clips of `frames` frames."""
    cfg, head, device = self.cfg, self.cfg.head, self.position.device

    def rand(*shape):
      return torch.rand(shape, generator=generator, device=device)

    def randn(*shape):
      return torch.randn(shape, generator=generator, device=device)

    level = cfg.history.max_level * rand(clips, frames).pow(1 / 3)
    level = level * (rand(clips, frames) >= cfg.history.clean_share)
    shape = (clips, frames, cfg.tokens)
    masked, hidden = head.kind == "masked", None
    places = (head.draws, *shape) if masked else (head.draws, *shape[:2])
    if masked:
      share = torch.empty(shape[:2], device=device)
      nn.init.trunc_normal_(
        share, 1.0, head.hidden_spread, head.hidden_least, 1.0, generator
      )
      rank = rand(*shape).argsort(-1).argsort(-1)
      hidden = rank < (share * cfg.tokens).ceil()[..., None]
    if masked and head.process == "noise":
      time = head.first_time + (1 - head.first_time) * rand(*places)
    else:
      time = randn(*places).sigmoid()
      time = time / (time + head.shift * (1 - time))
    token = (1, cfg.token_width) if masked else shape[2:] + (cfg.token_width,)
    first = rand(clips).mul(cfg.window + 1).long()
    history = randn(*shape, cfg.token_width)
    return TrainingDraws(
      level, history, first, time, randn(*places, *token), hidden
    )

  def loss(self, batch, draws=None):
    """The training loss, a scalar; for fine-tuning.

    Args:
      batch: {"latents": [B T h w C] normalised, "sink": [B S h w C], "signals":
        of all frames [B T], "portrait": of the sink's first frame [B]}; signals
        as Conditions takes them.
      draws: TrainingDraws; fresh ones unless given.
    """
    tokens = to_tokens(batch["latents"], self.cfg.patch)
    before, sink = self.opening(to_tokens(batch["sink"], self.cfg.patch))
    draws = draws or self.training_draws(*tokens.shape[:2])
    previous = torch.cat([before[:, None], tokens[:, :-1]], dim=1)
    previous = previous + draws.level[..., None, None] * draws.history
    features = self.hidden(
      previous,
      draws.level,
      sink,
      batch["portrait"],
      batch["signals"],
      draws.first,
    )
    target = (tokens - sink[:, :1]) / self.cfg.head.spread
    return self.head.loss(target, features, draws).mean()

  def open(self, sink_BShwC, portrait):
    """Opens streams from portraits.

    Args:
      sink_BShwC: normalised latents, `sinks` of each person, the one to start
        from first.
      portrait: what is known of the portraits, as Conditions takes it, [B ...].
    """
    tokens = to_tokens(sink_BShwC, self.cfg.patch)
    before, sink = self.opening(tokens)
    sink_BJD, anchor_BJD = self.embed_sink(sink)
    caches = []
    for layer in self.layers:
      sink_BJD, k, v = layer.sink(sink_BJD, anchor_BJD)
      caches.append(layer.open(k, v))
    count_B = torch.zeros(len(tokens), dtype=torch.int64, device=tokens.device)
    return StreamState(
      count_B,
      before,
      sink[:, 0],
      anchor_BJD,
      self.embed_portrait(portrait),
      tuple(caches),
      self.tokenizer.open(sink_BShwC[:, 0]),
    )

  def step(self, state, signals, noise, guidance=NO_GUIDANCE):
    """Makes the next frame of every stream.

    Args:
      state: StreamState; its caches are overwritten.
      signals: the frame's conditions as Conditions takes them, [B ...].
      noise: from `frame_noise`.
      guidance: Guidance.

    Returns:
      (the state after the frame, latents [B h w C]).
    """
    cfg, rows = self.cfg, state.count_B.shape[0]
    repeat = guidance.repeat
    count, sink = repeat(state.count_B), repeat(state.sink_BNc)
    level = sink.new_full(count.shape, cfg.history.sampling_level)
    x, beside = self.embed_block(
      repeat(state.previous_BNc),
      level,
      (count > 0) | ("sink" in cfg.without),
      sink,
      repeat(state.portrait_BE),
      guidance.branches(signals),
    )
    modulator = self.modulator(repeat(state.anchor_BJD), beside[0])
    for layer, cache in zip(self.layers, state.caches, strict=True):
      every = LayerCache(*map(repeat, cache)) if guidance.names else cache
      x = layer.step(x, modulator, every, count)
      if guidance.names:  # the full branch's block is remembered
        cache.k.copy_(every.k[:rows])
        cache.v.copy_(every.v[:rows])
    features = self.finish(x, beside)
    away = self.head.sample(features, noise, guidance)
    frame = state.sink_BNc + cfg.head.spread * away
    state = state._replace(count_B=state.count_B + 1, previous_BNc=frame)
    return state, to_latents(frame, cfg.latent_shape, cfg.patch)

  def frame(self, state, signals, noise, guidance=NO_GUIDANCE):
    """`step` and what it shows, `delay` steps later than it is made.

    Returns:
      (state, uint8 frames [B s Y X 3], [B] whether all numbers are finite).
    """
    state, latents = self.step(state, signals, noise, guidance)
    decoder, pictures = self.tokenizer.step(state.decoder, latents)
    good_B = pictures.isfinite().flatten(1).all(dim=1)
    good_B = good_B & latents.isfinite().flatten(1).all(dim=1)
    shown = (pictures.clamp(0, 1) * 255).round().to(torch.uint8)
    return state._replace(decoder=decoder), shown, good_B

  def generate(self, portrait_YX3, samples_S, controls=None, **settings):
    """Yields the frames of a video, uint8 [Y X 3], 25 a second.

    Args:
      portrait_YX3: uint8, of the tokenizer's size; or [S Y X 3].
      samples_S: speech, mono at 16 kHz, int16 or floats in [-1, 1].
      controls: {name: {frame: value or None}}; a value holds until the next.
      settings: of Stream: known, seed, guidance, compile.

    Raises:
      ValueError: as Stream and its methods.
    """
    stream = Stream(self, portrait_YX3, **settings)
    stream.push(samples_S)
    stream.finish()
    stream.set_all(controls or {}, stream.ear.frames)
    for name in controls or {}:  # beyond the end nothing is asked for
      stream.set(name, None, stream.ear.frames)
    yield from stream.pull()


# --- Speech


def mel_filters(cfg):
  """Slaney's triangles, of unit area in Hz: [n_fft // 2 + 1, bins], float64."""
  audio = cfg.audio
  step, corner = 200 / 3, 1000.0
  rate = math.log(6.4) / 27  # above the corner mels are logarithmic
  top = corner / step + math.log(audio.sample_rate / 2 / corner) / rate
  mel = np.linspace(0.0, top, audio.bins + 2)
  hertz = np.where(
    mel < corner / step,
    mel * step,
    corner * np.exp(rate * (mel - corner / step)),
  )
  bins = np.fft.rfftfreq(cfg.speech.n_fft, 1 / audio.sample_rate)[:, None]
  rise = (bins - hertz[:-2]) / np.diff(hertz[:-1])
  fall = (hertz[2:] - bins) / np.diff(hertz[1:])
  return np.maximum(0, np.minimum(rise, fall)) * 2 / (hertz[2:] - hertz[:-2])


class Mel:
  """Log-mel features of video frames: a speech encoder without weights.

  Step j is centred on its hop: n_fft samples from hop * j - before on. Any
  number of frames may come at once.

  Attributes:
    before, after: samples that are heard around the frames' own.
    step: frames of a window; None for any number.
    silence_AF: the features of what is outside of the speech.
  """

  step = None

  def __init__(self, cfg):
    self.cfg, mel = cfg, cfg.speech
    self.before = self.after = (mel.n_fft - mel.hop) // 2
    quiet = (math.log(mel.floor) - mel.mean) / mel.scale
    self.silence_AF = torch.full((cfg.audio.steps, cfg.audio.bins), quiet)
    phase = 2 * np.pi * np.arange(mel.n_fft) / mel.n_fft
    self._hann = torch.from_numpy(0.5 - 0.5 * np.cos(phase))
    self._filters = torch.from_numpy(mel_filters(cfg))

  def __call__(self, samples_S):
    """A window of samples, float32 -> [T A F]."""
    mel, audio = self.cfg.speech, self.cfg.audio
    windows = samples_S.double().unfold(0, mel.n_fft, mel.hop)
    power = torch.fft.rfft(windows * self._hann).abs().square()
    out = (power @ self._filters).clamp(min=mel.floor).log()
    out = ((out - mel.mean) / mel.scale).float()
    return out.reshape(-1, audio.steps, audio.bins)


# What floats in [-1, 1] may overshoot to; beyond they are something else.
LOUDEST = 8.0


class Ear:
  """Samples as they come; what latents hear, as soon as it can be told.

  Outside of the speech there is silence.

  Args:
    cfg: Config.
    speech: the model's, `EARTalking.speech`.

  Attributes:
    latent: number of the next latent.
    frames: video frames whose features are known.
    finished: whether the speech has ended.
  """

  def __init__(self, cfg, speech):
    self.cfg, self._speech = cfg, speech
    self._buffer_S = torch.zeros(speech.before)
    # From frame -past on; the next latent's begin a little later where frame 0
    # is the portrait.
    self._heard_TAF = self._silence(cfg.audio.past)
    self._samples, self.frames, self.finished = 0, 0, False
    self.latent = cfg.first_made

  @property
  def ready(self):
    """Latents whose speech is known, look-ahead included."""
    beyond = len(self._heard_TAF) - self._reach
    return max(beyond // self.cfg.stride + 1, 0)

  @property
  def _reach(self):
    """Frames of `_heard_TAF` up to the last one that the next latent hears."""
    cfg = self.cfg
    return cfg.first_made + cfg.audio.past + cfg.stride + cfg.audio.ahead

  def push(self, samples_S):
    """Takes the next samples: int16, or floats in [-1, 1].

    Raises:
      ValueError: the speech has ended, another type, shape or range, NaN.
    """
    samples_S = _array(samples_S)
    if self.finished:
      raise ValueError("no speech can follow finish()")
    floats = samples_S.dtype.kind == "f"
    if samples_S.ndim != 1 or not (floats or samples_S.dtype == np.int16):
      raise ValueError(
        f"samples {samples_S.dtype}{list(samples_S.shape)}: push mono int16, "
        "or floats in [-1, 1]"
      )
    with np.errstate(over="ignore"):
      samples = torch.from_numpy(samples_S.astype(np.float32))
    samples = samples / (1 if floats else 32768)
    if not samples.isfinite().all():
      raise ValueError("the speech holds NaN or infinite samples")
    loudest = float(samples.abs().max()) if len(samples) else 0.0
    if loudest > LOUDEST:
      raise ValueError(
        f"the speech reaches {loudest:g}; push int16, or floats in [-1, 1]"
      )
    self._samples += len(samples)
    self._buffer_S = torch.cat([self._buffer_S, samples])
    known = (self._samples - self._speech.after) // self.cfg.frame_samples
    self._hear(known - self.frames)

  def finish(self):
    """No more speech: what follows the last sample is silence."""
    if self.finished:
      return
    self.finished = True
    cfg, step = self.cfg, self._speech.step or 1
    frames = round(self._samples / cfg.frame_samples)
    left = frames - self.frames
    whole = -(-left // step) * step
    needed = self._needed(whole) - len(self._buffer_S)
    self._buffer_S = F.pad(self._buffer_S, (0, max(needed, 0)))
    self._hear(whole)
    # What a window made beyond the end is cut off.
    kept = len(self._heard_TAF) - (self.frames - frames)
    self._heard_TAF, self.frames = self._heard_TAF[:kept], frames
    if not frames:
      return
    latents = 1 - (1 - frames) // cfg.stride  # the last may reach beyond
    latents = max(latents, 1 + cfg.first_made) + cfg.tokenizer.delay
    short = (latents - self.latent - 1) * cfg.stride + self._reach - kept
    quiet = self._silence(max(short, 0))
    self._heard_TAF = torch.cat([self._heard_TAF, quiet])

  def next_features(self):
    """What the next latent hears, [F]."""
    begin = self.cfg.first_made
    return self._heard_TAF[begin : self._reach].flatten()

  def take(self):
    """What the next latent hears, which is made with it, [F]."""
    features = self.next_features()
    self._heard_TAF = self._heard_TAF[self.cfg.stride :]
    self.latent += 1
    return features

  def _silence(self, frames):
    return self._speech.silence_AF.expand(frames, -1, -1)

  def _needed(self, frames):
    """Samples of the windows of so many frames."""
    speech = self._speech
    return speech.before + frames * self.cfg.frame_samples + speech.after

  def _hear(self, frames):
    """Makes the features of the next frames, in whole windows."""
    while frames >= (count := self._speech.step or max(frames, 1)):
      heard_TAF = self._speech(self._buffer_S[: self._needed(count)])
      self._heard_TAF = torch.cat([self._heard_TAF, heard_TAF])
      self._buffer_S = self._buffer_S[count * self.cfg.frame_samples :]
      self.frames += count
      frames -= count


# --- A live stream

STRONGEST = 100  # guidance
LAST_FRAME = 2**31 - 1


class BrokenFrameError(ValueError):
  """A frame is no picture, for its numbers are not finite.

  It was not made: the next `pull` tries it again, with what is asked by then.
  """


class Stream:
  """Speech and wishes in, frames out: one live generation.

    stream = Stream(model, portrait_YX3, known={"pose": [0.1, 0, 0]})
    stream.set("emotion", "happy")     # from the next frame on
    stream.push(samples_S)             # 16 kHz, as many as there are
    for frame_YX3 in stream.pull(): ...

  Threads may share one: they take turns. Many streams may share a model.

  Args:
    model: an EARTalking with its tokenizer.
    portrait_YX3: uint8, of the tokenizer's size; or [S Y X 3].
    known: {control: value}, what is known of the portrait itself.
    seed: of its noise, 0 to 2**32 - 1.
    guidance: {"audio" or a control: scale}; each adds the work of a stream.
    compile: compile the frame; worth it from some hundred frames on.

  Attributes:
    frame: number of the next frame that wishes can be for; the first is 0.

  Raises:
    ValueError: one of them is impossible.
  """

  def __init__(
    self, model, portrait_YX3, known=None, seed=0, guidance=None, compile=False
  ):
    self.model, self.cfg = model, model.cfg
    self.seed = _whole(seed, "seed", 2**32 - 1)
    self.ear, self.frame = Ear(model.cfg, model.speech), 0
    self._made, self._shown = collections.deque(), 0
    self._lock = threading.RLock()
    self._now, self._later = {}, []
    self._noise = collections.deque()
    self._controls = {control.name: control for control in self.cfg.controls}
    self.device = model.position.device
    portrait = self._signals(None)
    for name, wish in _object(known or {}, "known").items():
      numbers = self._parse(name, wish) * self.cfg.stride
      self._fill(portrait, name, numbers)
    guidance = _object(guidance or {}, "guidance")
    for name, scale in guidance.items():
      if name != "audio" and name not in self._controls:
        raise ValueError(f"guidance: the model has no signal {_short(name)}")
      if not _is_real(scale) or abs(scale) > STRONGEST:
        raise ValueError(
          f"guidance: {name} is {_short(scale)}; a number from -{STRONGEST} to "
          f"{STRONGEST} is needed"
        )
    self.guidance = Guidance(
      tuple(sorted(guidance)),
      tuple(
        torch.tensor([guidance[name]], dtype=torch.float32, device=self.device)
        for name in sorted(guidance)
      ),
    )
    pictures_SYX3 = self._pictures(portrait_YX3)
    # The frame before all that are made, until it is shown.
    self._portrait_YX3 = pictures_SYX3[0] if self.cfg.first_made else None
    with torch.no_grad():
      sink_SYX3 = torch.tensor(pictures_SYX3, device=self.device)
      sink_1ShwC = model.tokenizer.encode(sink_SYX3)[None]
      self.state = model.open(sink_1ShwC, portrait)
    self._make = model.frame
    if compile:
      whole = self.cfg.tokenizer.kind == "patches"
      self._make = torch.compile(model.frame, fullgraph=whole, dynamic=False)

  def _pictures(self, portrait_YX3):
    pictures = _array(portrait_YX3)
    pictures = pictures[None] if pictures.ndim == 3 else pictures
    size, sinks = self.cfg.tokenizer.size, self.cfg.sinks
    fits = pictures.shape[1:] == (size, size, 3) and 0 < len(pictures) <= sinks
    if not fits or pictures.dtype != np.uint8:
      raise ValueError(
        f"portrait {pictures.dtype}{list(pictures.shape)}: 1 to {sinks} of "
        f"uint8[{size}, {size}, 3] are needed"
      )
    missing = np.repeat(pictures[:1], sinks - len(pictures), axis=0)
    return np.concatenate([pictures, missing])

  def set(self, name, value, frame=None):
    """Asks for a control from a frame on (the next one unless given).

    Args:
      name: of the control.
      value: numbers, or the name of a category; None leaves it to the model.
      frame: number of the frame; the first is 0.

    Raises:
      ValueError: no such control, an impossible value, a frame of the past.
    """
    with self._lock:
      frame = self.frame if frame is None else frame
      frame = _whole(frame, "frame", LAST_FRAME)
      if frame < self.frame:
        raise ValueError(f"frame {frame} is past; the next is {self.frame}")
      self._control(name)
      wish = None if value is None else self._parse(name, value)
      self._later.append((frame, name, wish))
      self._later.sort(key=lambda wish: wish[0])

  def set_all(self, controls, frames):
    """Asks for all that a video of `frames` frames shall show.

    Args:
      controls: {name: {frame: value or None}}; frames as numbers, or as JSON's
        keys are.
      frames: how many there will be.

    Raises:
      ValueError: as `set`; a frame said twice, or beyond the end.
    """
    for name, wishes in _object(controls, "controls").items():
      said = set()
      for key, wish in _object(wishes, f"controls: {_short(name)}").items():
        plain = isinstance(key, str) and re.fullmatch(r"0|[1-9][0-9]{0,9}", key)
        frame = _whole(int(key) if plain else key, "frame", LAST_FRAME)
        if frame in said:
          raise ValueError(f"{name}: frame {frame} is said twice")
        if frame >= frames:
          raise ValueError(
            f"{name}: frame {frame} is beyond the end; there are {frames}"
          )
        said.add(frame)
        self.set(name, wish, frame)

  def push(self, samples_S):
    """Takes the next samples of the speech; see `Ear.push`."""
    with self._lock:
      self.ear.push(samples_S)

  def finish(self):
    """Ends the speech: round(seconds * 25) frames will have been made."""
    with self._lock:
      self.ear.finish()

  def pull(self):
    """Yields every frame that can be made by now, uint8 [Y X 3].

    Raises:
      BrokenFrameError: the next frame is no picture.
    """
    while (frame_YX3 := self._next()) is not None:
      yield frame_YX3

  @torch.no_grad()
  def _next(self):
    with self._lock:
      while not self._made and self.ear.ready:
        self._make_latent()
      return self._made.popleft() if self._made else None

  def _make_latent(self):
    """Makes the next latent; what it shows is to be pulled."""
    cfg, span = self.cfg, self.cfg.frames_of(self.ear.latent)
    asked = [self._wishes(frame) for frame in span]
    signals = self._signals(self.ear.next_features())
    for name in {name for each in asked for name in each}:
      given = [place for place, each in enumerate(asked) if name in each]
      numbers = []
      for place in range(len(span)):
        # Where it is not given, as in the nearest frame in which it is.
        there = min(given, key=lambda other: abs(other - place))
        numbers += asked[there][name]
      self._fill(signals, name, numbers)
    if not self._noise:
      self._draw()
    state, frames, good_B = self._make(
      self.state, signals, self._noise[0], self.guidance
    )
    if not good_B[0]:
      raise BrokenFrameError(
        f"frame {self.frame} is no picture (its numbers are not finite): bring "
        "guidance and controls nearer to what is usual, or use other weights"
      )
    self.state, self._now = state, self._wishes(span[-1])
    self._later = [wish for wish in self._later if wish[0] > span[-1]]
    self._noise.popleft()
    self.ear.take()
    self.frame = span.stop
    self._show(frames[0].cpu().numpy(), self.ear.latent - cfg.first_made)

  def _show(self, frames_sYX3, steps):
    """Puts out what a step shows: none too early, none too many."""
    cfg, shown = self.cfg, max(steps - self.cfg.tokenizer.delay, 0)
    count = shown and cfg.first_made + shown * cfg.stride
    if self.ear.finished:
      count = min(count, self.ear.frames)
    count -= self._shown
    frames = list(frames_sYX3)
    if count > 0 and self._portrait_YX3 is not None:
      frames.insert(0, self._portrait_YX3)
      self._portrait_YX3 = None
    self._made.extend(frames[: max(count, 0)])
    self._shown += max(count, 0)

  def _wishes(self, frame):
    """{name: numbers} that are asked for at a frame, the next one or later."""
    now = dict(self._now)
    for begins, name, wish in self._later:
      if begins <= frame:
        now[name] = wish
    return {name: wish for name, wish in now.items() if wish is not None}

  def _draw(self):
    """Noise of the next steps: in one go it costs little more than of one."""
    count = 25 if self.cfg.head.kind == "flow" else 1
    first = self.ear.latent - self.cfg.first_made
    frames = torch.arange(first, first + count, device=self.device)
    noise = frame_noise(self.cfg, torch.full_like(frames, self.seed), frames)
    for one in zip(*(x[:, None] for x in noise), strict=True):
      self._noise.append(type(noise)(*one))

  def _signals(self, audio_F):
    """One frame's conditions of which nothing but the audio is given."""
    given = torch.zeros(1, dtype=torch.bool, device=self.device)
    hears = audio_F is not None
    if not hears:
      audio_F = torch.zeros(self.cfg.audio_features)
    controls = {
      name: {
        "value": torch.zeros(1, self.cfg.columns(control)).to(self.device),
        "given": given.clone(),
      }
      for name, control in self._controls.items()
    }
    audio = audio_F[None].to(self.device)
    return {"audio": audio, "audio_given": given | hears, "controls": controls}

  def _fill(self, signals, name, numbers):
    signal = signals["controls"][name]
    signal["value"] = torch.tensor([numbers], device=self.device)
    signal["given"] = torch.ones_like(signal["given"])

  def _control(self, name):
    if not isinstance(name, str) or name not in self._controls:
      raise ValueError(
        f"no control {_short(name)}; known: {list(self._controls)}"
      )
    return self._controls[name]

  def _parse(self, name, wish):
    """A wish for a control as a list of numbers; a category is its index."""
    control = self._control(name)
    if control.kind == "categorical":
      if not isinstance(wish, str) or wish not in control.categories:
        raise ValueError(
          f"{name}: {_short(wish)} is none of {list(control.categories)}"
        )
      return [float(control.categories.index(wish))]
    if isinstance(wish, (np.ndarray, torch.Tensor)):
      wish = wish.tolist()
    several = wish if isinstance(wish, (list, tuple)) else [wish]
    good = len(several) == control.size and all(
      _is_real(number) and control.low <= number <= control.high
      for number in several
    )
    if not good:
      raise ValueError(
        f"{name}: {_short(wish)}; {control.size} numbers in [{control.low:g}, "
        f"{control.high:g}] are needed"
      )
    return [float(number) for number in several]
