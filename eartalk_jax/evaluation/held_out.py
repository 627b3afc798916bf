"""Clips that a model was not trained on, as an evaluation uses them.

Dimension key:  T frames, A vectors in a
frame, F numbers in a vector, K numbers of a track.
"""

import dataclasses

import numpy as np

from eartalk_jax.errors import UserError
from eartalk_jax.speech import features

SHORTEST = 8


@dataclasses.dataclass(frozen=True)
class Clip:
  """One clip.

  Attributes:
    name: its id.
    frames_TYX3: the real pictures, uint8.
    features_TAF: its own speech.
    tracks: {name: truth_TK}, only those that the source has.
    portrait_YX3: a frame from a random place, outside if there is an outside.
    portrait_tracks: {name: truth_K} of the portrait.
  """

  name: str
  frames_TYX3: np.ndarray
  features_TAF: np.ndarray
  tracks: dict
  portrait_YX3: np.ndarray
  portrait_tracks: dict


def check_fit(generator, held_out):
  """Raises UserError if clips were prepared for another kind of model.

  Args:
    generator: see `eartalk_jax.generate`.
    held_out: an open frames dataset.
  """
  config = held_out.manifest["config"]
  if config["size"] != generator.size:
    raise UserError(
      f"{held_out.directory} was prepared with size {config['size']}, but "
      f"the checkpoint needs {generator.size}; run python -m launch.prepare "
      f"with --size {generator.size}"
    )


def load_clips(source, speech, tracks, clips, frames, seed):
  """Takes the first `clips` clips, and the first `frames` frames of each.

  Args:
    source: sequence of records of a frames dataset.
    speech: Speech, of the generator.
    tracks: names of the tracks.
    clips: how many at most.
    frames: of each clip, at most.
    seed: of the choice of portraits.

  Raises:
    UserError: fewer than two clips are long enough.
  """
  rng = np.random.default_rng(seed)
  taken = []
  for index in range(len(source)):
    if len(taken) == clips:
      break
    record = source[index]
    if len(record["frames"]) >= SHORTEST:
      taken.append(_clip(record, speech, tracks, frames, rng))
  if len(taken) < 2:
    raise UserError(
      f"{len(taken)} clips of at least {SHORTEST} frames; an evaluation needs "
      "two or more, so that a clip can be driven by the audio of another"
    )
  return taken


def _clip(record, speech, tracks, frames, rng):
  length = len(record["frames"])
  outside = length - frames
  if outside > 0:
    portrait = frames + rng.integers(outside)
  else:
    portrait = rng.integers(length)
  truth = {
    name: record[f"tracks/{name}"] for name in tracks if record[f"has/{name}"]
  }
  return Clip(
    name=record["clip_id"],
    frames_TYX3=record["frames"][:frames],
    features_TAF=features(speech, record["audio"])[:frames],
    tracks={name: truth[name][:frames] for name in truth},
    portrait_YX3=record["frames"][portrait],
    portrait_tracks={name: truth[name][portrait] for name in truth},
  )
