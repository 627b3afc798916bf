"""A fixed number of slots, one compiled step for all of them.

Who has no speech to go on with stands still while the others move; who joins
or leaves changes numbers, never shapes, so nothing compiles again.

Dimension key: B slots, S sink frames, K size of a control, t Y X pictures, h w
C latent frame.
"""

import collections
import functools
import threading

import jax
import jax.numpy as jnp
import numpy as np

from eartalk_jax import bounds
from eartalk_jax.controls.idle import Idle
from eartalk_jax.controls.requests import find_control, parse_value
from eartalk_jax.denoising.guidance import Guidance, make_guidance, parse_scale
from eartalk_jax.errors import UserError
from eartalk_jax.models.signals import Signals
from eartalk_jax.spans import FPS, SAMPLE_RATE, first_made
from eartalk_jax.streaming import programs
from eartalk_jax.streaming.alone import alone
from eartalk_jax.streaming.hearing import hear_together
from eartalk_jax.streaming.saved import does_not_load, pack, unpack
from eartalk_jax.streaming.stream import MOST_WAITING, Stream

_MOST_SLOTS = 4096


class Streams:
  """Live streams of one model. See the package for how to use them.

  Any thread may call any method of Streams and of its streams. One lock guards
  all of them, for the whole of each call, so the calls take place one after
  another in some order, and while one stream is pulled the others wait: a
  server is best off with one thread that owns the streams, and a queue to it.

  Args:
    generator: from `generate.load_generator`.
    slots: streams at a time. Each costs its part of every step, used or not.
    guidance: {"audio" or a control's name: scale}, with which streams begin;
      `Stream.guide` changes it. Each name adds the work of `slots` streams.

  Raises:
    UserError: no such number of slots, no such guidance.
  """

  def __init__(self, generator, slots=1, guidance=None):
    slots = bounds.integer(slots, "slots", 1, _MOST_SLOTS)
    guidance = {} if guidance is None else guidance
    self._scales = make_guidance(generator.config, guidance, slots)
    self.guidance = {k: parse_scale(k, v) for k, v in guidance.items()}
    self.generator = generator
    self.lock = threading.RLock()
    self._taken = [None] * slots
    self._begin = programs.make_begin(generator)
    self._step = programs.make_step(generator)
    self._running = collections.deque()  # steps on their way: see `_advance`
    # Whom the last step moved.
    self._moved_B = jnp.zeros(slots, bool)
    # On the device once, not once a frame.
    self._weights = jax.tree.map(jnp.asarray, generator.weights)
    self._decoder = jax.tree.map(jnp.asarray, generator.tokenizer.params)
    self._state = self._unopened(slots)

  @property
  def look_ahead_seconds(self):
    """How much speech after a frame's own is needed to make it, at most.

    The sum of what the model, the speech encoder and the tokenizer ask for.
    """
    speech, tokenizer = self.generator.speech, self.generator.tokenizer
    frames = self.generator.config.audio.ahead + (speech.step or 1) - 1
    late = tokenizer.delay + self.generator.recipe.AHEAD
    frames += tokenizer.stride - 1 + late * tokenizer.stride
    return frames / FPS + speech.after / SAMPLE_RATE

  @property
  def compilations(self):
    """How many programs the step needed so far: one, whatever happens."""
    return self._step._cache_size()

  @alone
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
    stream = Stream(self, self._free_row())
    values = self._portrait_values({} if known is None else known)
    portrait = self._blank((1,), hears=False)
    stride = self.generator.tokenizer.stride
    portrait.fill(0, {k: np.tile(v, stride) for k, v in values.items()})
    seed = bounds.seed(seed)
    latents_1ShwC = self.generator.encode_portraits([portrait_YX3])
    first_YX3 = np.asarray(portrait_YX3)
    first_YX3 = first_YX3.reshape(-1, *first_YX3.shape[-3:])[0]
    if first_made(self.generator.tokenizer.stride):
      stream.portrait_YX3 = first_YX3
    seed_1 = np.asarray([seed], np.uint32)
    begun = self._begin(
      self._weights,
      self._decoder,
      first_YX3[None],
      latents_1ShwC,
      seed_1,
      portrait,
    )
    if idle:
      stream.idle = Idle(self.generator.config.controls, values, seed)
    return self._seat(stream, jax.tree.map(lambda x: x[0], begun))

  @alone
  def serve(self, stream):
    """Makes all frames of `stream` that can be made; others move along."""
    self._hand_out()  # what an interrupt left
    stream.broken = False
    while stream.ready_steps and not stream.broken:
      self._advance(stream)
    self._hand_out()

  def _advance(self, pulled):
    """Makes the next frame of a stream and of all others that move."""
    rows = len(self._taken)
    signals = self._blank((rows, 1 + self.generator.recipe.AHEAD))
    active_B, sure_B = np.zeros(rows, bool), np.zeros(rows, bool)
    scales = {k: scale_B.copy() for k, scale_B in self._scales.scales.items()}
    movers = [
      stream
      for stream in self._taken
      if stream is pulled or (stream and stream.moves())
    ]
    hear_together(self.generator.speech, movers, pulled, rows)
    for stream in movers:
      row = stream.row
      active_B[row], sure_B[row] = True, not stream.coming
      signals.audio.value[row], wishes = stream.send()
      signals.audio.given[row] = True
      for number, values in enumerate(wishes):
        signals.fill((row, number), values)
      for name, scale in stream.scales.items():
        scales[name][row] = scale
    self._state, frames_BtYX3, self._moved_B = self._step(
      self._weights,
      self._decoder,
      self._state,
      signals,
      Guidance(scales),
      active_B,
      sure_B,
      self._moved_B,
    )
    self._running.append((frames_BtYX3, self._moved_B, movers))
    # The step before has ended by now, or ends while this one is queued: its
    # pixels are copied, and the next features made, while the device works.
    self._hand_out(but=1)

  def _hand_out(self, but=0):
    """Gives the frames of all steps but the last ones to their streams."""
    while len(self._running) > but:
      *made, movers = self._running[0]
      frames_BtYX3, moved_B = map(np.asarray, made)
      self._running.popleft()
      for stream in movers:
        row = stream.row
        stream.receive(frames_BtYX3[row].copy() if moved_B[row] else None)

  @alone
  def release(self, stream):
    """Frees a stream's slot."""
    self._taken[stream.row] = None

  @alone
  def save(self, stream):
    """A stream as bytes, frames that nobody pulled included."""
    self._hand_out()
    leaves = jax.tree.leaves(self._state)
    content = {
      "state": [np.asarray(leaf[stream.row]) for leaf in leaves],
      "listener": stream.windows.save(),
      "heard": stream.heard.save(),
      "timeline": stream.timeline.save(),
      "scales": stream.scales,
      "idle": stream.idle and [stream.idle.pose, stream.idle.seed],
      "made": list(stream.made),
      "shown": stream.shown,
      "portrait": stream.portrait_YX3,
    }
    return pack(content, self._fingerprint)

  @alone
  def restore(self, saved):
    """Goes on with a saved stream in a free slot.

    In as many slots as it was saved in it goes on bit by bit; in another number
    of them the compiler chooses other kernels, which round differently.

    Restore what comes from a place that you trust: whoever can change the bytes
    can make the stream show anything, though not run code or harm others.

    Raises:
      UserError: all slots are taken; the bytes are damaged, another model's, or
        make no stream. No slot is taken then.
    """
    stream = Stream(self, self._free_row())
    content = unpack(saved, self._fingerprint)
    try:
      return self._seat(stream, self._load(stream, content))
    except (
      ArithmeticError,
      AttributeError,
      LookupError,
      TypeError,
      UserError,
      ValueError,
    ) as error:
      raise does_not_load(error) from error

  def _load(self, stream, content):
    """Puts what was saved into a new stream; returns its row of the state."""
    stream.windows.load(content["listener"])
    stream.heard.load(content["heard"])
    stream.hear([])  # its end may have been heard
    stream.timeline.load(content["timeline"])
    scales = content["scales"].items()
    stream.scales = {name: parse_scale(name, scale) for name, scale in scales}
    if stream.scales.keys() != self.guidance.keys():
      raise UserError(f"guidance of {list(stream.scales)}")
    if content["idle"]:
      pose, number = content["idle"]
      values = self._portrait_values({} if pose is None else {"pose": pose})
      stream.idle = Idle(
        self.generator.config.controls, values, bounds.seed(number)
      )
    size = self.generator.size
    for frames_tYX3 in content["made"]:
      bounds.array(frames_tYX3, "frames", np.uint8, None, size, size, 3)
    most = MOST_WAITING + self.generator.tokenizer.stride - 1
    if sum(map(len, content["made"])) > most:
      raise UserError(f"more than {most} frames wait")
    stream.made.extend(content["made"])
    stream.shown = bounds.integer(content["shown"], "shown", 0, 2**31 - 1)
    if content["portrait"] is not None:
      stream.portrait_YX3 = bounds.array(
        content["portrait"], "portrait", np.uint8, size, size, 3
      )
    leaves, tree = jax.tree.flatten(self._state)
    row = [
      bounds.array(leaf, "state", like.dtype, *like.shape[1:])
      for leaf, like in zip(content["state"], leaves, strict=True)
    ]
    return jax.tree.unflatten(tree, row)

  @functools.cached_property
  def _fingerprint(self):
    return f"{self.generator.fingerprint} {sorted(self.guidance)}"

  def _free_row(self):
    if None not in self._taken:
      raise UserError(
        f"all {len(self._taken)} slots are taken; close a stream or make "
        "Streams(..., slots=more)"
      )
    return self._taken.index(None)

  def _seat(self, stream, one):
    """Gives a stream that is complete its slot, and the slot its state."""
    self._state = programs.put(self._state, stream.row, one)
    self._taken[stream.row] = stream
    return stream

  def _unopened(self, slots):
    config = self.generator.config
    shape = (slots, config.sinks, *config.latent_shape)
    latents_BShwC = np.zeros(shape, np.float32)
    seeds_B = np.zeros(slots, np.uint32)
    portrait = self._blank((slots,), hears=False)
    size = self.generator.tokenizer.picture_shape
    return self._begin(
      self._weights,
      self._decoder,
      np.zeros((slots, *size, 3), np.uint8),
      latents_BShwC,
      seeds_B,
      portrait,
    )

  def _blank(self, lead, hears=True):
    return Signals.blank(self.generator.config, lead, hears)

  def _portrait_values(self, known):
    specs = {spec.name: spec for spec in self.generator.config.controls}
    if not isinstance(known, dict):
      raise UserError(
        f"portrait: {bounds.shown(known)}; give {{control: value}}"
      )
    values = {}
    for name, wish in known.items():
      spec = find_control(name, specs, "portrait")
      where = f"portrait: {name}"
      values[name] = parse_value(wish, spec, self.generator.categories, where)
    return values
