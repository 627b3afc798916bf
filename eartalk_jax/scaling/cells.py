"""A run of a sweep: what it is, what it costs, how it is configured."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Machine:
  """What the runs are timed for.

  Attributes:
    name: of the device.
    devices: how many of them a cell has.
    peak_flops: of each, a second.
    mfu: the share of it that is assumed.
    memory: bytes of each; None if that is not known.
  """

  name: str
  devices: int
  peak_flops: float
  mfu: float
  memory: float | None

  def hours(self, flops):
    """Of that much work, without start-up, compilation and evaluation."""
    return flops / (self.peak_flops * self.mfu * self.devices) / 3600


@dataclasses.dataclass(frozen=True)
class Cell:
  """One run of a sweep.

  Attributes:
    name: of its folder.
    budget: FLOPs it is planned for, as people write them.
    check: it is kept from the fit, to test what the fit says of it.
    size: number of its size in the ladder.
    width, depth, heads, head_width, head_depth, head_heads: the model.
    denoiser: width of a masked head's denoiser; 0 for other heads.
    unroll: layers in one step of the scan over depth.
    params: N of the law; `all_params` counts embeddings and conditions, too.
    steps: of a run from scratch; the branch leaves the trunk after `branch`.
    lr, batch, seed: of the optimizer and the data.
    frames, tokens: D, in latent frames and in tokens of them.
    epochs: of the training data.
    flops: of a run from scratch; `spent` is what sharing leaves of it.
    hours: of `spent`, on the machine of the plan.
  """

  name: str
  budget: str
  check: bool
  size: int
  width: int
  depth: int
  heads: int
  head_width: int
  head_depth: int
  head_heads: int
  denoiser: int
  unroll: int
  params: int
  all_params: int
  steps: int
  branch: int
  lr: float
  batch: int
  seed: int
  frames: int
  tokens: int
  epochs: float
  flops: float
  spent: float
  hours: float

  @property
  def shape(self):
    """What runs of its size have in their names, such as "w96d1"."""
    return shape_name(self.width, self.depth)


def shape_name(width, depth):
  """What tells sizes apart: two may be equally wide."""
  return f"w{width}d{depth}"


def cell_config(config, cell):
  """The dictionary of a TrainConfig for a run from scratch of a cell.

  Args:
    config: the dictionary of the reference.
    cell: the Cell.
  """
  shape = {
    "width": cell.width,
    "depth": cell.depth,
    "heads": cell.heads,
    "unroll": cell.unroll,
  }
  head = {
    "width": cell.head_width,
    "depth": cell.head_depth,
    "heads": cell.head_heads,
  }
  if cell.denoiser:
    head["denoiser_width"] = cell.denoiser
  model = config["model"]
  model = model | shape | {"head": model["head"] | head}
  optimizer = config["run"]["optimizer"] | {
    "peak_lr": cell.lr,
    "decay": "wsd",
    "decay_steps": cell.steps - cell.branch,
  }
  run = config["run"] | {
    "steps": cell.steps,
    "batch_size": cell.batch,
    "seed": cell.seed,
    "optimizer": optimizer,
  }
  return config | {"model": model, "run": run}


def trunk_config(config, cell):
  """The same of the trunk, up to where the cell leaves it."""
  whole = cell_config(config, cell)
  optimizer = whole["run"]["optimizer"] | {
    "decay": "constant",
    "decay_steps": 0,
  }
  run = whole["run"] | {"steps": cell.branch, "optimizer": optimizer}
  # Every save stays, since a cell may begin at any of them: few are made.
  every = max(run["save_every"], cell.branch // 10)
  run |= {"keep": 1000, "keep_every": 0, "save_every": every}
  return whole | {"run": run}
