"""demo.py for comparisons: longer clips, a window of five frames, fewer steps.

  python -m launch.train --config configs/ablation.py:no_sink --workdir runs/x \
    --config.data.tokens=runs/demo/tokens/train \
    --config.tokenizer=runs/demo/tokenizer/tokenizer

The word after the colon is one of VARIANTS; "full" lacks nothing. All of them
see the same clips in the same order for as many steps, 2 to 3 minutes on two
cores. `python -m launch.ablate` trains and measures every one.
"""

from configs import demo, demo_masked


def _no_history_noise(model):
  model.history.max_level = model.history.sampling_level = 0.0


def _no_anchor(model):
  model.without = ["anchor"]


def _no_sink(model):
  model.without = ["sink"]


def _no_direct_path(model):
  model.without = ["direct"]


def _window_2(model):
  model.window = 2


def _window_10(model):
  model.window = 10


def _cyclic(model):
  model.positions = "cyclic"


def _masked(model):
  model.head = demo_masked.get_config().model.head


# Name -> (what is different, change of the model's config).
VARIANTS = {
  "full": ("sink, noise, direct path, W = 5, flow head", lambda model: None),
  "no_history_noise": ("the past is clean in training", _no_history_noise),
  "no_anchor": ("the sink is seen, but modulates nothing", _no_anchor),
  "no_sink": ("the portrait is the first past and no more", _no_sink),
  "no_direct_path": ("conditions in context only", _no_direct_path),
  "window_2": ("W = 2", _window_2),
  "window_10": ("W = 10", _window_10),
  "cyclic": ("cyclic positions", _cyclic),
  "masked_head": ("masked head, 4 sets of 8 steps", _masked),
}


def get_config(variant="full"):
  """The config of a variant."""
  if variant not in VARIANTS:
    raise ValueError(f"variant {variant!r}; known: {', '.join(VARIANTS)}")
  c = demo.get_config()
  c.model.window = 5
  c.data.frames = 10
  c.run.batch_size, c.run.steps = 16, 500
  _, change = VARIANTS[variant]
  change(c.model)
  return c
