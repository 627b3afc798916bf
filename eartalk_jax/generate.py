"""From a trained run to video: portraits and features of speech to pictures.

Dimension key: B streams, T frames (t of a chunk), A vectors in a frame, F
numbers in a vector, K size of a control, Y X picture, h w C latent frame.
"""

import dataclasses
import functools
import hashlib
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from eartalk_jax import files, heads, recipes
from eartalk_jax.bounds import integer, number, seed
from eartalk_jax.checkpoints.checkpoint_reading import load_ema
from eartalk_jax.checkpoints.parts import load_speech_of, recipe_kind
from eartalk_jax.checkpoints.resumption import read_run
from eartalk_jax.config import from_config, to_dict
from eartalk_jax.denoising.guidance import make_guidance
from eartalk_jax.errors import UserError
from eartalk_jax.film import Film, check_fine, checked_features
from eartalk_jax.models.config import TalkerConfig
from eartalk_jax.models.signals import Signal, by_span, of_arrays
from eartalk_jax.recipes import Recipe
from eartalk_jax.recipes.pixels import pixels_step
from eartalk_jax.spans import first_made, frames_of, latents_over
from eartalk_jax.speech import Speech
from eartalk_jax.speech.contexts import Heard, Reach
from eartalk_jax.tokenizers import Tokenizer
from eartalk_jax.tokenizers.coding import encode_portraits
from eartalk_jax.tokenizers.storing import load_tokenizer

_LONGEST_CHUNK = 10_000


def load_generator(workdir):
  """Opens the run in `workdir`: its EMA weights, its tokenizer, its config.

  Raises:
    UserError: there is no finished save, or its parts do not fit together.
  """
  workdir = pathlib.Path(workdir)
  run = read_run(workdir)
  recipe = recipes.of(recipe_kind(run))
  model = recipe.model(from_config(TalkerConfig, run["model"]))
  tokenizer = load_tokenizer(workdir / "tokenizer")
  if tuple(tokenizer.latent_shape) != tuple(model.cfg.latent_shape):
    raise UserError(
      f"{workdir}/tokenizer makes latents {tokenizer.latent_shape}, but the "
      f"model reads {model.cfg.latent_shape}; restore the tokenizer folder "
      "that training put there"
    )
  speech = load_speech_of(workdir, run, model.cfg.audio)
  shapes = jax.eval_shape(recipe.init_params(model), jax.random.key(0))
  step, params = load_ema(workdir, shapes)
  weights = recipe.prepare(params)
  rest = tokenizer, speech, step, run["categories"]
  return Generator(recipe, model, weights, *rest)


@dataclasses.dataclass(frozen=True, eq=False)
class Generator:
  """A model ready to make video.

  Attributes:
    recipe: how it makes video.
    model: of the recipe.
    weights: its parameters, from `Recipe.prepare`.
    tokenizer: makes pictures of latents.
    speech: makes features of samples.
    trained_steps: how long the model was trained.
    categories: {categorical control: [names of its classes]}.
  """

  recipe: Recipe
  model: Any
  weights: Any
  tokenizer: Tokenizer
  speech: Speech
  trained_steps: int
  categories: dict

  @property
  def config(self):
    """The model's TalkerConfig."""
    return self.model.cfg

  @functools.cached_property
  def fingerprint(self):
    """Of everything that the frames depend on: weights, config, encoders."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(self.weights):
      digest.update(np.ascontiguousarray(leaf))
    return files.sha256_of_json(
      {
        "config": to_dict(self.config),
        "tokenizer": self.tokenizer.fingerprint,
        "speech": self.speech.fingerprint,
        "weights": digest.hexdigest(),
      }
    )

  @property
  def size(self):
    """Side of the pictures, in pixels."""
    return self.tokenizer.picture_shape[0]

  @property
  def reach(self):
    """What a latent hears."""
    audio, silence_AF = self.config.audio, self.speech.silence_AF
    return Reach(audio.past, audio.ahead, self.config.stride, silence_AF)

  def sampling(self, **settings):
    """The same generator with other sampling of its head.

    Args:
      settings: steps, temperature or, of a masked head, sets; None keeps what
        the run's config says.

    Raises:
      UserError: the head has no such setting, or it cannot be that.
    """
    given = {k: v for k, v in settings.items() if v is not None}
    head = to_dict(self.config.head)
    known = heads.of(self.config.head).SETTINGS
    for name, value in given.items():
      if name not in known:
        raise UserError(f"a {head['kind']!r} head has no {name} to sample with")
      check = integer if isinstance(head[name], int) else number
      given[name] = check(value, name, *known[name])
    config = {**to_dict(self.config), "head": {**head, **given}}
    model = self.recipe.model(from_config(TalkerConfig, config))
    return dataclasses.replace(self, model=model)

  def generate(
    self,
    portraits_BYX3,
    features_BTAF,
    controls=None,
    given=None,
    portrait_controls=None,
    seeds=None,
    guidance=None,
    chunk=25,
  ):
    """Makes the video of every stream, a chunk at a time, in constant memory.

    Args:
      portraits_BYX3: uint8, of `size`. Or portraits_BSYX3: several pictures of
        each person, up to the model's `sinks`; the first is where the video
        starts from.
      features_BTAF: of the speech, see `eartalk_jax.speech`; or an iterator of
        pieces of them along T.
      controls: {name: value_BTK}; a category is its index, K = 1. A control
        that is not named is not given. Or a function (start, stop) -> (values,
        given), both as here, of the frames start <= t < stop: a video's
        length then costs nothing.
      given: {name: bool_BT}; where False, the control is not given. True
        everywhere for names it leaves out.
      portrait_controls: {name: (value_BK, given_B)}: what is known of the
        portraits themselves, their pose say; faces come out better with it.
      seeds: one int for each stream; 0, 1, ... unless given.
      guidance: {"audio" or a control's name: scale}, a number or one for each
        stream. 1 is none, more follows that signal harder. Each name adds the
        work of one more stream.
      chunk: frames in one compiled call.

    Yields:
      frames_BtYX3 uint8, t <= chunk; T frames in all.

    Raises:
      UserError: an unknown control, arrays that do not fit, impossible numbers;
        or a frame came out as numbers that are not finite.
    """
    chunk = integer(chunk, "chunk", 1, _LONGEST_CHUNK)
    latents_BShwC = self.encode_portraits(portraits_BYX3)
    rows, stride = len(latents_BShwC), self.config.stride
    guidance = make_guidance(self.config, guidance or {}, rows)
    first_BYX3 = _first_pictures(portraits_BYX3)
    known = portrait_controls or {}
    state = self._open(first_BYX3, latents_BShwC, seeds, known)
    if not callable(controls):
      controls = by_span(controls or {}, given or {})
    film = Film(self.tokenizer, first_BYX3)
    steps = max(chunk // stride, 1)
    for context_BtF, latent in self._heard(features_BTAF, rows, steps, film):
      told = context_BtF.shape[1]
      count = told - self.recipe.AHEAD
      start = frames_of(latent, stride).start
      stop = min(start + told * stride, film.frames)
      asked = of_arrays(
        self.config, (rows, stop - start), *controls(start, stop)
      )
      signals = asked.by_latent(stride, told).replace(
        audio=Signal(context_BtF, np.ones((rows, told), bool))
      )
      signals = _time_major(signals, max(steps, 2) + self.recipe.AHEAD)
      state, frames_TBYX3, fine_TB = self._chunk(
        self.weights,
        self.tokenizer.params,
        state,
        signals,
        count,
        guidance,
      )
      check_fine(np.asarray(fine_TB)[:count], start, stride)
      made_TBYX3 = np.asarray(frames_TBYX3)[: count * stride]
      frames_BtYX3 = film.take(np.moveaxis(made_TBYX3, 0, 1))
      if frames_BtYX3.shape[1]:
        yield frames_BtYX3

  def _heard(self, features_BTAF, rows, steps, film):
    """Yields (what latents hear [B t F'], the first one's number).

    As many as `steps`, fewer at the end, and those ahead that the recipe needs
    besides. Tells the Film how many frames are known.
    """
    audio, stride = self.config.audio, self.config.stride
    ahead = self.recipe.AHEAD
    whole = hasattr(features_BTAF, "shape")
    heard = Heard(self.reach, (rows,))
    for piece in [features_BTAF] if whole else features_BTAF:
      piece = checked_features(piece, (rows, audio.steps, audio.bins))
      heard.push(piece)
      film.frames += piece.shape[1]
      while heard.ready >= steps + ahead:
        yield heard.at(0, steps + ahead), heard.latent
        heard.advance(steps)
    if film.frames:
      latents = latents_over(film.frames, stride) - first_made(stride)
      heard.finish(max(latents, 1) + self.tokenizer.delay + ahead)
    while heard.ready > ahead:
      count = min(heard.ready - ahead, steps)
      yield heard.at(0, count + ahead), heard.latent
      heard.advance(count)

  def _open(self, first_BYX3, latents_BShwC, seeds, known):
    rows = len(latents_BShwC)
    seeds = list(range(rows) if seeds is None else seeds)
    if len(seeds) != rows:
      raise UserError(f"{len(seeds)} seeds for {rows} streams")
    seeds_B = np.asarray([seed(number) for number in seeds], np.uint32)
    values, given = ({k: v[i] for k, v in known.items()} for i in (0, 1))
    stream = self.recipe.open(
      self.model,
      self.weights,
      jnp.asarray(latents_BShwC),
      jax.vmap(jax.random.key)(seeds_B),
      of_arrays(self.config, (rows,), values, given).of_all_frames(
        self.config.stride
      ),
    )
    pictures_BYX3 = jnp.asarray(first_BYX3, jnp.float32) / 255
    decode = self.tokenizer.init_decode(
      self.tokenizer.params, pictures_BYX3, latents_BShwC[:, 0]
    )
    return stream, decode

  def encode_portraits(self, portraits_BYX3):
    """The sink's latents of people: [B S h w C], S the model's `sinks`.

    Who has fewer pictures than that has the first one again.

    Raises:
      UserError: pictures of another size or type, or too many.
    """
    try:
      portraits = np.asarray(portraits_BYX3)
    except ValueError:
      raise UserError("portraits of several sizes; crop all to one") from None
    if portraits.ndim == 4:
      portraits = portraits[:, None]
    shape, sinks = portraits.shape[1:], self.config.sinks
    if shape[1:] != (self.size, self.size, 3) or portraits.dtype != np.uint8:
      raise UserError(
        f"portrait {portraits.dtype}{list(shape[1:])}: uint8[{self.size}, "
        f"{self.size}, 3] is needed; crop it with data_pipelines.portrait"
      )
    if not portraits.size:
      raise UserError("no portrait; give one picture of each person at least")
    if shape[0] > sinks:
      raise UserError(
        f"{shape[0]} portraits of a person, but the model was trained with "
        f"{sinks}; give {sinks} at most"
      )
    missing = np.repeat(portraits[:, :1], sinks - shape[0], axis=1)
    portraits = np.concatenate([portraits, missing], axis=1)
    latents_XhwC = encode_portraits(
      self.tokenizer, portraits.reshape(-1, *shape[1:])
    )
    return latents_XhwC.reshape(-1, sinks, *latents_XhwC.shape[1:])

  @functools.cached_property
  def _chunk(self):
    """Compiled: states and a chunk of signals -> states and uint8 pictures."""

    @functools.partial(jax.jit, donate_argnames=("state",))
    def chunk(weights, decoder, state, signals, frames, guidance):
      def frame(index, carry):
        state, frames_TBtYX3, fine_TB = carry
        now = jax.tree.map(lambda x: _told(x, index, told), signals)
        state, frames_BtYX3, fine_B = pixels_step(
          self, decoder, weights, state, now, guidance
        )
        frames_TBtYX3 = frames_TBtYX3.at[index].set(frames_BtYX3)
        return state, frames_TBtYX3, fine_TB.at[index].set(fine_B)

      told = 1 + self.recipe.AHEAD
      most, rows = signals.audio.given.shape
      lead = most - self.recipe.AHEAD, rows
      size = self.tokenizer.picture_shape
      shape = (*lead, self.tokenizer.stride, *size, 3)
      # A loop whose length the compiler cannot see, over at least two places,
      # has one body for every chunk: chunks of any length give the same bits.
      made = state, jnp.zeros(shape, jnp.uint8), jnp.ones(lead, bool)
      state, frames_TBtYX3, fine_TB = jax.lax.fori_loop(0, frames, frame, made)
      frames_TtBYX3 = jnp.moveaxis(frames_TBtYX3, 1, 2)
      frames_TBYX3 = frames_TtBYX3.reshape(-1, *frames_TtBYX3.shape[2:])
      return state, frames_TBYX3, fine_TB

    return chunk


def _first_pictures(portraits):
  """The first portrait of each person, [B Y X 3]."""
  portraits = np.asarray(portraits)
  return portraits[:, 0] if portraits.ndim == 5 else portraits


def _told(x_TB, index, told):
  """[T B ...] -> [B told ...]: what a step is told of."""
  now_tB = jax.lax.dynamic_slice_in_dim(x_TB, index, told)
  return jnp.moveaxis(now_tB, 0, 1)


def _time_major(tree_BT, most):
  """[B t ...] -> [most B ...]: filled up, so that one compilation serves."""

  def turn(x_BT):
    x_TB = np.moveaxis(x_BT, 1, 0)
    return np.pad(x_TB, [(0, most - len(x_TB))] + [(0, 0)] * (x_TB.ndim - 1))

  return jax.tree.map(turn, tree_BT)
