"""Generates videos for an evaluation: many clips at once, as one batch.

Dimension key:  B clips, T frames (t of a chunk), A vectors in a frame, F
numbers in a vector, K control numbers.
"""

import dataclasses

import numpy as np

from eartalk_jax.counting import counting


@dataclasses.dataclass(frozen=True)
class Order:
  """One video to generate.

  Attributes:
    portrait_YX3: of whom.
    features_TAF: what is said.
    controls: {name: value_TK}; what is absent is not given.
    portrait_controls: {name: value_K} of the portrait itself; the same.
  """

  portrait_YX3: np.ndarray
  features_TAF: np.ndarray
  controls: dict
  portrait_controls: dict


def stream(generator, orders, seed):
  """Generates all orders as one batch, as long as the longest.

  Args:
    generator: see `eartalk_jax.generate`.
    orders: the videos, of any lengths.
    seed: the noise of video i is that of seed + i.

  Yields:
    frames_BtYX3 uint8.
  """
  longest = max(len(order.features_TAF) for order in orders)
  names = sorted({name for order in orders for name in order.controls})
  controls, given = {}, {}
  for name in names:
    controls[name], given[name] = _column(orders, name, longest)
  yield from generator.generate(
    np.stack([order.portrait_YX3 for order in orders]),
    np.stack(
      [
        _longer(o.features_TAF, longest, generator.speech.silence_AF)
        for o in orders
      ]
    ),
    controls,
    given,
    _of_portraits(orders, names),
    seeds=[seed + index for index in range(len(orders))],
  )


def generate(generator, orders, seed, what):
  """Generates every order: a list of uint8 [T, Y, X, 3].

  Args:
    generator, orders, seed: see `stream`.
    what: name of the work, for the progress.
  """
  lengths = [len(order.features_TAF) for order in orders]
  frames = []
  with counting(what, max(lengths) * len(orders), "frames") as advance:
    for chunk_BTYX3 in stream(generator, orders, seed):
      frames.append(np.asarray(chunk_BTYX3))
      advance(len(orders) * frames[-1].shape[1])
  frames_BTYX3 = np.concatenate(frames, 1)
  return [video[:t] for video, t in zip(frames_BTYX3, lengths, strict=True)]


def _column(orders, name, frames):
  """One control of all orders: value [B, T, K] and given [B, T]."""
  size = next(o.controls[name].shape[1] for o in orders if name in o.controls)
  value_BTK = np.zeros((len(orders), frames, size), np.float32)
  given_BT = np.zeros((len(orders), frames), bool)
  for row, order in enumerate(orders):
    if name in order.controls:
      length = len(order.controls[name])
      value_BTK[row, :length] = order.controls[name]
      given_BT[row, :length] = True
  return value_BTK, given_BT


def _of_portraits(orders, names):
  """What is known of the portraits: {name: (value_BK, given_B)}."""
  known = {}
  for name in names:
    rows = [order.portrait_controls.get(name) for order in orders]
    given_B = np.array([row is not None for row in rows])
    if given_B.any():
      size = len(next(row for row in rows if row is not None))
      rows = [np.zeros(size) if row is None else row for row in rows]
      known[name] = np.stack(rows).astype(np.float32), given_B
  return known


def _longer(features_TAF, frames, fill):
  missing = frames - len(features_TAF)
  return np.concatenate([features_TAF, np.repeat(fill[None], missing, axis=0)])


def known_controls(generator, clip):
  """The clip's own tracks that the model takes; never the mouth."""
  return {
    control.name: clip.tracks[control.name]
    for control in generator.config.controls
    if control.name in clip.tracks and control.name != "mouth"
  }


def known_portrait(generator, clip):
  """The same tracks where the portrait was taken: {name: value_K}."""
  names = known_controls(generator, clip)
  return {name: clip.portrait_tracks[name] for name in names}


def own_orders(generator, clips):
  """Each clip again: own portrait, own speech, own controls."""
  return [
    Order(
      clip.portrait_YX3,
      clip.features_TAF,
      known_controls(generator, clip),
      known_portrait(generator, clip),
    )
    for clip in clips
  ]


def wrong_audio_pairs(clips):
  """(clip, the clip whose speech drives it): first half, second half."""
  half = len(clips) // 2
  return list(zip(clips[:half], clips[half:], strict=False))


def wrong_audio_orders(generator, clips):
  """The pairs' first clips, each saying what the second one says.

  A video is as long as the shorter of both.
  """
  orders = []
  for clip, driver in wrong_audio_pairs(clips):
    features_TAF = driver.features_TAF[: len(clip.features_TAF)]
    controls = {
      name: value_TK[: len(features_TAF)]
      for name, value_TK in known_controls(generator, clip).items()
    }
    known = known_portrait(generator, clip)
    orders.append(Order(clip.portrait_YX3, features_TAF, controls, known))
  return orders


@dataclasses.dataclass(frozen=True)
class LongStream:
  """A stream of the speech of several clips.

  The last tenth repeats the first tenth's speech and controls, so that the two
  are compared on the same words. The controls swing through those of the own
  clip, forward and backward.

  Attributes:
    order: what to generate.
    mouth_TK: the truth of the speech.
  """

  order: Order
  mouth_TK: np.ndarray


def long_streams(generator, clips, frames, count):
  """At most `count` streams of `frames` frames, each from another clip.

  Only clips that have a mouth track are used; there may be none.
  """
  clips = [clip for clip in clips if "mouth" in clip.tracks]
  starts = range(min(count, len(clips)))
  return [
    _long_stream(generator, clips[start:] + clips[:start], frames)
    for start in starts
  ]


def _long_stream(generator, clips, frames):
  """The stream that starts with the portrait and the speech of clips[0]."""
  tenth = frames // 10
  middle = frames - tenth
  enough = -(-middle // min(len(clip.features_TAF) for clip in clips))
  spoken = [clips[i % len(clips)] for i in range(enough)]
  features_TAF = np.concatenate([clip.features_TAF for clip in spoken])[:middle]
  mouth_TK = np.concatenate([clip.tracks["mouth"] for clip in spoken])[:middle]
  swing_T = _swing(len(clips[0].features_TAF), middle)
  controls = {
    name: _closed(value_TK[swing_T], tenth)
    for name, value_TK in known_controls(generator, clips[0]).items()
  }
  known = known_portrait(generator, clips[0])
  features_TAF = _closed(features_TAF, tenth)
  order = Order(clips[0].portrait_YX3, features_TAF, controls, known)
  return LongStream(order, _closed(mouth_TK, tenth))


def _closed(series_T, tenth):
  return np.concatenate([series_T, series_T[:tenth]])


def _swing(period, frames):
  """0 .. period-1 .. 0 .. : forward and backward."""
  there_and_back = np.r_[np.arange(period), np.arange(period - 2, 0, -1)]
  return np.resize(there_and_back, frames)
