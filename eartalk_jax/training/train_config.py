"""The config file of a talker's training."""

import dataclasses

from eartalk_jax import recipes
from eartalk_jax.config import check_range
from eartalk_jax.models.config import TalkerConfig
from eartalk_jax.training.run_config import RunConfig


@dataclasses.dataclass(frozen=True)
class DataConfig:
  """What to read.

  Attributes:
    tokens: directory of a token dataset.
    frames: T, length of a window in latent frames.
    threads: that read and cut ahead of the training.
    prefetch: batches that may wait ready.
  """

  tokens: str
  frames: int
  threads: int = 1
  prefetch: int = 4

  def __post_init__(self):
    check_range(self, 1, 10**6, "frames", "prefetch")
    check_range(self, 1, 1024, "threads")


@dataclasses.dataclass(frozen=True)
class RecipeConfig:
  """How video is made: `kind` is one of `recipes.KINDS`."""

  kind: str = "ear"

  def __post_init__(self):
    recipes.of(self.kind)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
  """A whole config file; `tokenizer` is the directory of one."""

  tokenizer: str
  model: TalkerConfig
  data: DataConfig
  run: RunConfig
  recipe: RecipeConfig = RecipeConfig()
