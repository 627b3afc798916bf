"""A fixed number of slots, one compiled step for all of them.

Who has no speech to go on with stands still while the others move; who joins
or leaves changes numbers, never shapes, so nothing compiles again.

Dimension key: B slots, S sink frames, K size of a control, Y X picture, h w C
latent frame.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from eartalk_jax.audio import AudioFeatures
from eartalk_jax.controls import columns, find_control, parse_value
from eartalk_jax.errors import UserError
from eartalk_jax.guidance import Guidance, make_guidance
from eartalk_jax.idle import Idle
from eartalk_jax.streaming import frame
from eartalk_jax.streaming.saved import pack, unpack
from eartalk_jax.streaming.stream import Stream


class Streams:
  """Live streams of one model. See the package for how to use them.

  Args:
    generator: from `generate.load_generator`.
    slots: streams at a time. Each costs its part of every step, used or not.
    guidance: {"audio" or a control's name: scale}, with which streams begin;
      `Stream.guide` changes it. Each name adds the work of `slots` streams.
  """

  def __init__(self, generator, slots=1, guidance=None):
    if slots < 1:
      raise UserError(f"slots={slots}: at least 1 is needed")
    self.generator = generator
    self.guidance = guidance or {}
    self._scales = make_guidance(generator.config, self.guidance, slots)
    self._taken = [None] * slots
    self._running = None  # pixels on their way, and whose they are
    # On the device once, not once a frame.
    self._weights = jax.tree.map(jnp.asarray, generator.weights)
    self._decoder = jax.tree.map(jnp.asarray, generator.tokenizer.params)
    self._state = self._blank(slots)

  @property
  def look_ahead_seconds(self):
    """How much speech after a frame's own is needed to make it."""
    spec = AudioFeatures()
    frames = self.generator.config.audio.ahead / spec.fps
    return frames + spec.margin / spec.sample_rate

  @property
  def compilations(self):
    """How many programs the step needed so far: one, whatever happens."""
    return self._step._cache_size()

  def open(self, portrait_YX3, known=None, seed=0, idle=True):
    """Starts a stream.

    Args:
      portrait_YX3: uint8, of the generator's size; or [S Y X 3], several of the
        same person.
      known: {control: value}, what is known of the portrait itself.
      seed: of its noise.
      idle: blinks, looks about and sways where nothing is asked, see `idle`;
        otherwise such controls are left to the model.

    Raises:
      UserError: all slots are taken, a picture of another size, an impossible
        value.
    """
    values = self._portrait_values(known or {})
    portrait = self._blank_signals(1)
    _fill(portrait["controls"], 0, values)
    latents_1ShwC = self.generator.encode_portraits(
      np.asarray(portrait_YX3)[None]
    )
    seed_1 = np.asarray([seed], np.uint32)
    begun = self._begin(self._weights, latents_1ShwC, seed_1, portrait)
    one = jax.tree.map(lambda x: x[0], begun)
    stream = self._seat_stream()
    if idle:
      stream.idle = Idle(self.generator.config.controls, values, seed)
    self._state = _put(self._state, stream.row, one)
    return stream

  def advance(self):
    """Makes the next frame of every stream that is ready."""
    signals, active_B = self._blank_signals(len(self._taken)), []
    scales = {k: scale_B.copy() for k, scale_B in self._scales.scales.items()}
    for row, stream in enumerate(self._taken):
      active_B.append(stream is not None and stream.ready > 0)
      if active_B[-1]:
        signals["audio"][row] = stream.ear.take()
        signals["audio_given"][row] = True
        _fill(signals["controls"], row, stream.wishes())
        for name, scale in stream.scales.items():
          scales[name][row] = scale
    self._state, running_BtYX3 = self._step(
      self._weights,
      self._decoder,
      self._state,
      signals,
      Guidance(scales),
      np.asarray(active_B),
    )
    # The step before has ended by now, or ends while this one is queued: its
    # pixels are copied, and the next features made, while the device works.
    self.hand_out()
    movers = [
      s for s, active in zip(self._taken, active_B, strict=True) if active
    ]
    self._running = running_BtYX3, movers

  def hand_out(self):
    """Gives the frames of the last step to their streams."""
    if self._running is None:
      return
    frames_BtYX3, movers = np.asarray(self._running[0]), self._running[1]
    self._running = None
    for stream in movers:
      stream.made.append(frames_BtYX3[stream.row].copy())

  def release(self, stream):
    """Frees a stream's slot."""
    self._taken[stream.row] = None

  def save(self, stream):
    """A stream as bytes, frames that nobody pulled included."""
    self.hand_out()
    leaves = jax.tree.leaves(self._state)
    content = {
      "state": [np.asarray(leaf[stream.row]) for leaf in leaves],
      "ear": stream.ear.save(),
      "timeline": stream.timeline.save(),
      "scales": stream.scales,
      "idle": stream.idle and [stream.idle.pose, stream.idle.seed],
      "made": list(stream.made),
    }
    return pack(content, self._fingerprint)

  def restore(self, saved):
    """Goes on with a saved stream, bit by bit, in a free slot.

    Raises:
      UserError: all slots are taken; the bytes are damaged or another model's.
    """
    content = unpack(saved, self._fingerprint)
    stream = self._seat_stream()
    stream.ear.load(content["ear"])
    stream.timeline.load(content["timeline"])
    stream.scales.update(content["scales"])
    if content["idle"]:
      pose, seed = content["idle"]
      known = {} if pose is None else {"pose": pose}
      stream.idle = Idle(self.generator.config.controls, known, seed)
    stream.made.extend(content["made"])
    tree = jax.tree.structure(self._state)
    row = jax.tree.unflatten(tree, content["state"])
    self._state = _put(self._state, stream.row, row)
    return stream

  @functools.cached_property
  def _fingerprint(self):
    return f"{self.generator.fingerprint} {sorted(self.guidance)}"

  def _seat_stream(self):
    """A stream in a free slot, with no state of its own yet."""
    if None not in self._taken:
      raise UserError(
        f"all {len(self._taken)} slots are taken; close a stream or make "
        "Streams(..., slots=more)"
      )
    row = self._taken.index(None)
    self._taken[row] = Stream(self, row)
    return self._taken[row]

  def _blank(self, slots):
    config = self.generator.config
    shape = (slots, config.sinks, *config.latent_shape)
    latents_BShwC = np.zeros(shape, np.float32)
    signals = self._blank_signals(slots)
    seeds_B = np.zeros(slots, np.uint32)
    return self._begin(self._weights, latents_BShwC, seeds_B, signals)

  def _blank_signals(self, rows):
    """Conditions of which nothing is given, for `rows` frames."""
    config = self.generator.config
    controls = {}
    for spec in config.controls:
      value_BK = np.zeros((rows, columns(spec)), np.float32)
      controls[spec.name] = {"value": value_BK, "given": np.zeros(rows, bool)}
    return {
      "audio": np.zeros((rows, config.audio.features), np.float32),
      "audio_given": np.zeros(rows, bool),
      "controls": controls,
    }

  def _portrait_values(self, known):
    specs = {spec.name: spec for spec in self.generator.config.controls}
    values = {}
    for name, wish in known.items():
      spec = find_control(name, specs, "portrait")
      where = f"portrait: {name}"
      values[name] = parse_value(wish, spec, self.generator.categories, where)
    return values

  @functools.cached_property
  def _begin(self):
    """Compiled: portraits' latents, seeds and conditions -> their state."""
    model, tokenizer = self.generator.model, self.generator.tokenizer

    def begin(weights, latents_BShwC, seeds_B, portrait):
      key_B = jax.vmap(jax.random.key)(seeds_B)
      stream = frame.init(model, weights, latents_BShwC, key_B, portrait)
      return _plain(stream), tokenizer.init_decode(len(latents_BShwC))

    return jax.jit(begin)

  @functools.cached_property
  def _step(self):
    """Compiled: one frame of the active rows, pixels included."""

    @functools.partial(jax.jit, donate_argnames=("state",))
    def step(weights, decoder, state, signals, guidance, active_B):
      generator = self.generator
      tokenizer = dataclasses.replace(generator.tokenizer, params=decoder)
      (stream, decode), frames_BtYX3 = frame.pixels_step(
        generator.model,
        tokenizer,
        weights,
        (_keyed(state[0]), state[1]),
        signals,
        guidance,
      )
      moved = (_plain(stream), decode)
      state = jax.tree.map(
        lambda new, old: jnp.where(_column(active_B, new.ndim), new, old),
        moved,
        state,
      )
      return state, frames_BtYX3

    return step


@functools.partial(jax.jit, donate_argnums=0)
def _put(state, row, one):
  """The state with slot `row` replaced."""
  return jax.tree.map(lambda all_B, new: all_B.at[row].set(new), state, one)


def _fill(controls, row, values):
  for name, value_K in values.items():
    controls[name]["value"][row] = value_K
    controls[name]["given"][row] = True


def _column(x_B, rank):
  return x_B.reshape(x_B.shape + (1,) * (rank - 1))


def _plain(stream):
  """The state with its keys as numbers, which can be chosen among and saved."""
  return stream.replace(key_B=jax.random.key_data(stream.key_B))


def _keyed(stream):
  return stream.replace(key_B=jax.random.wrap_key_data(stream.key_B))
