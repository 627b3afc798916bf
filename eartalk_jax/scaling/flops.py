"""Parameters and FLOPs of a talker by part, in closed form.

Matrix products only, two FLOPs for each multiplication, per latent frame: what
norms, softmax and activations add is not counted. "Model" FLOPs hold the
visible pairs of query and key alone, whatever a program computes and masks, so
they measure the model and not the code. No recomputation either. A latent frame
is `stride` frames of video, of whose speech and controls it is told at once;
what encoders cost is told in frames of video, by `encoders`.

  part         what is in it
  embedding    tokens of frames and portrait, guess, direct path
  audio        what turns the speech around a frame into tokens
  controls     the other conditions
  projections  query, key, value and what merges the heads
  scores       queries with keys, weights with values: window and own conditions
  mlp          of the layers
  modulation   adaptive norms of the layers
  sink         the sink's own way through the layers, and attention to it
  head         once for each draw (training), step or set (sampling)

A scaling law's N is the parameters of LAW_PARTS: the matrices that every frame
goes through, backbone and head. Embeddings and conditions, which small models
mostly consist of, are told apart; their FLOPs count. D is latent frames, each
of `TalkerConfig.tokens` tokens.
"""

import collections

from eartalk_jax import heads
from eartalk_jax.layers.cost import Product
from eartalk_jax.models.hearing import CONVOLUTIONS, TAPS
from eartalk_jax.models.talker import PATTERNS

PARTS = (
  "embedding",
  "audio",
  "controls",
  "projections",
  "scores",
  "mlp",
  "modulation",
  "sink",
  "head",
)
LAW_PARTS = ("projections", "mlp", "modulation", "head")


def parameters(cfg):
  """{part: parameters} of a TalkerConfig."""
  counts = collections.Counter(dict.fromkeys(PARTS, 0))
  for product in _products(cfg, 1):
    counts[product.part] += int(product.parameters)
  frame = cfg.tokens * cfg.width
  counts["embedding"] += 2 * frame + cfg.width  # place, start, sink's type
  # A null and a type for each token of a condition.
  counts["audio"] += 2 * cfg.audio.tokens * cfg.width
  if cfg.audio.states > 1:
    counts["audio"] += cfg.audio.states  # what mixes them, by no product
  counts["controls"] += 2 * len(cfg.controls) * cfg.width
  return dict(counts)


def law_parameters(cfg):
  """N of a TalkerConfig, as a scaling law counts it."""
  counts = parameters(cfg)
  return sum(counts[part] for part in LAW_PARTS)


def training_flops(cfg, frames, banded=False):
  """{part: FLOPs per latent frame}, forward and backward, nothing twice.

  Args:
    cfg: TalkerConfig.
    frames: latent frames of a clip; the first ones see fewer keys, the sink is
      shared.
    banded: count all pairs that `sfa_banded` computes, hidden ones too.
  """
  products = _products(cfg, frames, banded)
  return _sum(products, lambda product: 2 if product.of_data else 3)


def sampling_flops(cfg):
  """{part: FLOPs of one streamed latent frame}, its window full, no guidance.

  Of the masked head's sets, each counts its own tokens.
  """
  return _sum(_products(cfg), lambda product: 1)


def _sum(products, times):
  total = collections.Counter(dict.fromkeys(PARTS, 0))
  for product in products:
    total[product.part] += product.flops * times(product)
  return dict(total)


def _products(cfg, frames=None, banded=False):
  """All matrix products; `frames` of a clip, or None for a streamed one."""
  return [
    *_embedding(cfg, frames),
    *_conditions(cfg, frames),
    *_layers(cfg, frames, banded),
    *heads.of(cfg.head).products(
      cfg.head, cfg.width, cfg.tokens, cfg.token_width, bool(frames)
    ),
  ]


def _embedding(cfg, frames):
  d, n, c = cfg.width, cfg.tokens, cfg.token_width
  # Once for each clip in training; a stream keeps what became of the sink.
  per_clip = 1 / frames if frames else 0
  sink_rows = 0 if cfg.sinkless else cfg.sinks * n * per_clip
  flat = 2 * cfg.condition_tokens * d
  return [
    Product("embedding", c, d, n, of_data=True),
    Product("sink", c, d, sink_rows, of_data=True, weights=False),
    Product("embedding", c, d, n * (per_clip or 1), of_data=True),
    Product("embedding", d, d, 1, of_data=True),  # noise level
    Product("embedding", d, c, 1, of_data=True),  # trust
    Product("embedding", c, c, n, bias=False),  # guess
    Product("embedding", flat, PATTERNS, 1),
    Product("embedding", PATTERNS, n * d, 1, bias=False),
  ]


def _conditions(cfg, frames):
  d, audio = cfg.width, cfg.audio
  # The portrait's own conditions come once for each clip.
  rows = 1 + (1 / frames if frames else 0)
  products = []
  for control in cfg.controls:
    products += [
      Product("controls", cfg.stride * control.size, d, rows, of_data=True),
      Product("controls", d, d, rows),
    ]
  steps, inside = cfg.heard // audio.bins, audio.bins // audio.states
  for index in range(CONVOLUTIONS):
    taps = _taps(steps)
    steps = -(-steps // 2)
    products += [
      # The matrix is that of all taps; those at the margin meet no input.
      Product("audio", TAPS * inside, d, 0),
      Product(
        "audio",
        inside,
        d,
        rows * taps,
        of_data=index == 0,
        weights=False,
      ),
    ]
    inside = d
  products.append(Product("audio", steps * d, d, rows))
  products.append(Product("audio", d, audio.tokens * d, rows))
  return products


def _taps(steps):
  """Taps that meet an input, of a convolution of stride 2 that pads evenly."""
  out = -(-steps // 2)
  padding = max((out - 1) * 2 + TAPS - steps, 0)
  return sum(
    0 <= 2 * place + tap - padding // 2 < steps
    for place in range(out)
    for tap in range(TAPS)
  )


def _layers(cfg, frames, banded):
  d, n, depth, r = cfg.width, cfg.tokens, cfg.depth, cfg.sink_rank
  p = cfg.condition_tokens + n
  keys, sink_rows = _visible_keys(cfg, frames, banded)
  queries = _queries(cfg, frames, banded)
  sinks = 0 if cfg.sinkless else cfg.sinks * n
  products = [
    Product("modulation", d, r, p, depth),
    Product("modulation", r, 6 * d, p, depth),
    Product("projections", d, 3 * d, p, depth),
    Product("scores", d, 2 * keys, queries, depth, weights=False),
    Product("sink", d, 2 * sinks, queries, depth, weights=False),
  ]
  # The last layer makes nothing but the frame.
  for rows, layers in ((p, depth - 1), (n, 1)):
    products += [
      Product("projections", d, d, rows, layers),
      Product("mlp", d, 4 * d, rows, layers),
      Product("mlp", 4 * d, d, rows, layers),
    ]
  own = {"weights": False}
  return products + [
    Product("sink", d, r, sink_rows, depth, **own),
    Product("sink", r, 6 * d, sink_rows, depth, **own),
    # Its last layer makes keys and values only.
    Product("sink", d, 2 * d, sink_rows, depth, **own),
    Product("sink", d, 10 * d, sink_rows, depth - 1, **own),
    Product("sink", d, 2 * sinks, sink_rows, depth - 1, **own),
  ]


def _visible_keys(cfg, frames, banded):
  """(frame and condition tokens that a query meets, sink rows per frame)."""
  m, w, n = cfg.condition_tokens, cfg.window, cfg.tokens
  if frames is None:
    return m + w * n, 0
  sink_rows = 0 if cfg.sinkless else cfg.sinks * n / frames
  if banded:
    blocks = w if frames <= w else 2 * w
    return blocks * n + w * m, sink_rows
  seen = sum(min(frame + 1, w) for frame in range(frames)) / frames
  return m + seen * n, sink_rows


def _queries(cfg, frames, banded):
  """Queries per latent frame; the last chunk of the banded form is padded."""
  p = cfg.condition_tokens + cfg.tokens
  if not banded:
    return p
  return p * -(-frames // cfg.window) * cfg.window / frames
