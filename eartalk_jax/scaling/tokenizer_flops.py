"""Parameters and FLOPs of the frame tokenizer, in closed form.

Paid once for each picture when a dataset is made, not while a talker trains, so
no cell of a scaling law counts them; a stream decodes every frame. Matrix
products only, two FLOPs for each multiplication, as in `flops`.
"""

PARTS = ("encoder", "decoder")


def parameters(config):
  """{part: parameters} of a TokenizerConfig."""
  return {part: _parameters(config, *_sides(config)[part]) for part in PARTS}


def forward_flops(config):
  """{part: FLOPs for each picture}."""
  return {part: _flops(config, *_sides(config)[part]) for part in PARTS}


def _sides(config):
  """{part: (depth, numbers in and out of a token)}."""
  pixels = 3 * config.patch**2
  latents = config.channels
  return {
    # Mean and log-variance.
    "encoder": (config.encoder_depth, pixels, 2 * latents),
    # Each place with the eight around it.
    "decoder": (config.decoder_depth, 9 * latents, pixels),
  }


def _tokens(config):
  h, w, _ = config.latent_shape
  return h * w


def _matrices(config, depth, inside, outside):
  """Multiplications of a token by weights; 12 D^2 in a block."""
  d = config.width
  return inside * d + depth * 12 * d * d + d * outside + inside * outside


def _flops(config, depth, inside, outside):
  n = _tokens(config)
  scores = depth * 2 * n * config.width
  return 2 * n * (_matrices(config, depth, inside, outside) + scores)


def _parameters(config, depth, inside, outside):
  d = config.width
  # A block: two norms of 2 D, biases of 2 D (none of keys), D, 4 D and D.
  vectors = d + depth * 12 * d + 2 * d + outside
  position = _tokens(config) * d
  return _matrices(config, depth, inside, outside) + vectors + position
