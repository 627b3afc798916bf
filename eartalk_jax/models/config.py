"""What a talker is made of. Every field is explained where it is declared."""

import dataclasses
from typing import Literal

# No size is larger; where more would be meant, no machine could hold it.
_LARGEST = 2**20
_MAY_BE_NONE = ("past", "ahead")


@dataclasses.dataclass(frozen=True)
class ControlConfig:
  """One per-frame signal a user may give or leave out.

  Attributes:
    name: the track's name in the shards and in a controls file.
    kind: "continuous" (a vector) or "categorical" (a class index).
    size: length of the vector, or number of classes.
    drop: share of training windows in which a span of it is left out.
  """

  name: str
  kind: str
  size: int
  drop: float

  def __post_init__(self):
    if self.kind not in ("continuous", "categorical"):
      raise ValueError(
        f"control {self.name!r}: kind is {self.kind!r}; "
        "it must be 'continuous' or 'categorical'"
      )


@dataclasses.dataclass(frozen=True)
class AudioConfig:
  """The speech a frame sees: mel steps of frames -past .. +ahead around it.

  Attributes:
    past: video frames of context before the frame.
    ahead: video frames of look-ahead; each adds 40 ms of latency.
    steps: mel steps per video frame.
    bins: mel bins.
    tokens: audio tokens in a block.
    drop: share of training windows in which a span of it is left out.
  """

  past: int
  ahead: int
  steps: int
  bins: int
  tokens: int
  drop: float

  @property
  def features(self):
    """Length of one frame's feature vector."""
    return (self.past + 1 + self.ahead) * self.steps * self.bins


@dataclasses.dataclass(frozen=True)
class HistoryConfig:
  """Noise on the history, against exposure bias: x + level * noise.

  Attributes:
    max_level: levels lie in [0, max_level] in training, most of them in the
      upper half; one per frame.
    clean_share: share of frames left clean in training.
    sampling_level: the level that the model is told while streaming, where
      nothing is added: how little it trusts its own past.
  """

  max_level: float
  clean_share: float
  sampling_level: float


@dataclasses.dataclass(frozen=True)
class FlowHeadConfig:
  """The `flow` head: a shallow transformer over the tokens of one frame.

  Attributes:
    kind: "flow".
    width, depth, heads: its size.
    rank: bottleneck of its adaptive norms.
    draws: noise draws per frame in training; they share the backbone's work.
    steps: Euler steps while sampling.
    spread: typical deviation of a frame from its portrait, in latent units:
      the head models (frame - portrait) / spread.
    shift: of the flow's times towards noise, see `flow.shifted`.
    temperature: scale of the noise that sampling starts from; 1 draws from the
      learned distribution, less shows its middle: steadier, less varied.
  """

  kind: Literal["flow"]
  width: int
  depth: int
  heads: int
  rank: int
  draws: int
  steps: int
  spread: float
  shift: float
  temperature: float


@dataclasses.dataclass(frozen=True)
class MaskedHeadConfig:
  """The `masked` head: tokens set by set, each by a small denoiser.

  Attributes:
    kind: "masked".
    width, depth, heads: size of the stack over a frame's tokens.
    denoiser_width, denoiser_depth: size of the MLP that denoises one token.
    rank: bottleneck of their adaptive norms.
    process: "flow" (flow matching) or "noise" (noise prediction, the paper's).
    draws: noise draws per token in training; they share all but the denoiser.
    sets: how many sets of tokens make a frame while sampling.
    steps: denoising steps for each set.
    spread: as in the flow head.
    shift: as in the flow head; only flow matching reads it.
    temperature: scale of the noise, as in the flow head; noise prediction
      scales what each step adds (MAR).
  """

  kind: Literal["masked"]
  width: int
  depth: int
  heads: int
  denoiser_width: int
  denoiser_depth: int
  rank: int
  process: Literal["flow", "noise"]
  draws: int
  sets: int
  steps: int
  spread: float
  shift: float
  temperature: float


@dataclasses.dataclass(frozen=True)
class TalkerConfig:
  """The whole model.

  Attributes:
    latent_shape: (h, w, C) of a latent frame.
    patch: latent cells on a token's side.
    width, depth, heads: size of the backbone.
    window: latent frames that stay visible, the frame itself included.
    positions: "relative" or "cyclic", see `models.positions`.
    sinks: sink frames: pictures of the person, the portrait first.
    sink_rank: bottleneck of the sink's adaLN (NOVA's scale-and-shift: 24).
    without: parts left out for an ablation: "anchor" (the sink's adaLN), "sink"
      (all that the portrait does but to come before the first frame), "direct"
      (conditions that reach layers and head around the context).
    audio, controls, history, head: see their own types.
    dtype: "float32" or "bfloat16", for compute; parameters are float32.
    remat: recompute activations of each layer in the backward pass.
    unroll: layers per step of the scan over depth; the depth is fastest on a
      CPU, 1 compiles fastest.
  """

  latent_shape: tuple[int, int, int]
  patch: int
  width: int
  depth: int
  heads: int
  window: int
  positions: Literal["relative", "cyclic"]
  sinks: int
  sink_rank: int
  without: tuple[str, ...]
  audio: AudioConfig
  controls: tuple[ControlConfig, ...]
  history: HistoryConfig
  head: FlowHeadConfig | MaskedHeadConfig
  dtype: str
  remat: bool
  unroll: int

  def __post_init__(self):
    _check_sizes(self)
    h, w, _ = self.latent_shape
    if h % self.patch or w % self.patch:
      raise ValueError(f"patch {self.patch} does not divide latents {h}x{w}")
    for part in (self, self.head):
      if part.width % (2 * part.heads):
        raise ValueError(
          f"width {part.width} is not an even multiple of {part.heads} heads"
        )
    if self.head.kind == "masked" and not 1 <= self.head.sets <= self.tokens:
      raise ValueError(
        f"head.sets is {self.head.sets}; a frame has {self.tokens} tokens"
      )
    if self.sinks < 1:
      raise ValueError(f"sinks is {self.sinks}; the portrait is one")
    for name in self.without:
      if name not in ("anchor", "sink", "direct"):
        raise ValueError(
          f"without {name!r}: known are 'anchor', 'sink' and 'direct'"
        )
    names = [control.name for control in self.controls]
    if len(set(names)) < len(names):
      raise ValueError(f"control names repeat: {names}")

  @property
  def sinkless(self):
    """Whether the portrait is no more than the frame before the first."""
    return "sink" in self.without

  @property
  def tokens(self):
    """N, frame tokens in a block."""
    h, w, _ = self.latent_shape
    return (h // self.patch) * (w // self.patch)

  @property
  def token_width(self):
    """Numbers in one frame token."""
    return self.patch**2 * self.latent_shape[2]

  @property
  def condition_tokens(self):
    """M, condition tokens in a block."""
    return len(self.controls) + self.audio.tokens


def _check_sizes(part, path=""):
  """Raises ValueError if a whole number in a config can be no size."""
  for field in dataclasses.fields(part):
    value, name = getattr(part, field.name), path + field.name
    low = 0 if field.name in _MAY_BE_NONE else 1
    for item in value if isinstance(value, (list, tuple)) else (value,):
      if dataclasses.is_dataclass(item):
        _check_sizes(item, f"{name}.")
      elif type(item) is int and not low <= item <= _LARGEST:
        raise ValueError(f"{name} is {item}; it is from {low} to {_LARGEST}")
