"""What a talker is made of. Every field is explained where it is declared."""

import dataclasses
from typing import Literal

from eartalk_jax import heads
from eartalk_jax.config import check_range
from eartalk_jax.errors import UserError


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
    check_range(self, 1, 4096, "size")
    check_range(self, 0, 1, "drop")


@dataclasses.dataclass(frozen=True)
class AudioConfig:
  """The speech that a latent hears: of its frames, and of those around them.

  Attributes:
    past: video frames of context before them.
    ahead: video frames of look-ahead; each adds 40 ms of latency.
    steps: vectors that the speech encoder makes of a video frame; 0 is what the
      tokens say.
    bins: numbers in such a vector; 0 likewise.
    tokens: audio tokens in a block.
    drop: share of training windows in which a span of it is left out.
    states: hidden states of an encoder that a vector is made of, one after
      another; several are mixed by weights that are learned.
  """

  past: int
  ahead: int
  steps: int
  bins: int
  tokens: int
  drop: float
  states: int = 1

  def __post_init__(self):
    check_range(self, 0, 1000, "past", "ahead", "steps")
    check_range(self, 0, 65_536, "bins")
    check_range(self, 1, 1000, "tokens", "states")
    check_range(self, 0, 1, "drop")
    if self.bins % self.states:
      raise ValueError(
        f"bins {self.bins} is not a multiple of {self.states} states"
      )


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

  def __post_init__(self):
    check_range(self, 0, 100, "max_level", "sampling_level")
    check_range(self, 0, 1, "clean_share")


@dataclasses.dataclass(frozen=True)
class TalkerConfig:
  """The whole model.

  Attributes:
    latent_shape: (h, w, C) of a latent frame.
    patch: latent cells on a token's side.
    width, depth, heads: size of the backbone.
    window: latent frames that stay visible, the frame itself included.
    positions: "relative" or "cyclic", see `attention.positions`.
    sinks: sink frames: pictures of the person, the portrait first.
    sink_rank: bottleneck of the sink's adaLN (NOVA's scale-and-shift: 24).
    without: parts left out for an ablation: "anchor" (the sink's adaLN), "sink"
      (all that the portrait does but to come before the first frame), "direct"
      (conditions that reach layers and head around the context).
    audio, controls, history, head: see their own types.
    dtype: for compute; parameters are float32.
    remat: recompute activations of each layer in the backward pass.
    unroll: layers per step of the scan over depth; the depth is fastest on a
      CPU, 1 compiles fastest.
    stride: video frames of a latent, see `spans`.
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
  head: heads.HeadConfig
  dtype: Literal["float32", "bfloat16"]
  remat: bool
  unroll: int
  stride: int = 1

  def __post_init__(self):
    check_range(self, 1, 10**6, "patch", "width", "heads", "window")
    check_range(self, 1, 10_000, "depth", "unroll", "sink_rank")
    check_range(self, 1, 100, "sinks", "stride")
    if not all(1 <= size <= 65_536 for size in self.latent_shape):
      raise ValueError(f"latent_shape is {self.latent_shape}: give 1 to 65536")
    h, w, _ = self.latent_shape
    if h % self.patch or w % self.patch:
      raise ValueError(f"patch {self.patch} does not divide latents {h}x{w}")
    for part in (self, self.head):
      if part.width % (2 * part.heads):
        raise ValueError(
          f"width {part.width} is not an even multiple of {part.heads} heads"
        )
    heads.of(self.head).check(self.head, self.tokens)
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
  def heard(self):
    """Length of the features that a latent hears.

    Raises:
      UserError: it is left to tokens, which nobody has read.
    """
    audio = self.audio
    if not (audio.steps and audio.bins):
      raise UserError(
        "config: model.audio.steps and model.audio.bins are 0, which only "
        "training reads off its tokens; say here what their manifest.json has "
        "as speech.shape, such as --config.model.audio.steps=4 "
        "--config.model.audio.bins=80 for mel:80"
      )
    frames = audio.past + self.stride + audio.ahead
    return frames * audio.steps * audio.bins

  def columns(self, control):
    """Numbers of a control for a latent; a category is its index."""
    each = 1 if control.kind == "categorical" else control.size
    return self.stride * each

  @property
  def condition_tokens(self):
    """M, condition tokens in a block."""
    return len(self.controls) + self.audio.tokens
