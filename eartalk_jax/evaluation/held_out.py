"""Clips that a model was not trained on, as an evaluation uses them.

Dimension key:  T frames, A mel steps, F mel bins, K numbers of a track.
"""

import dataclasses

import numpy as np

from eartalk_jax.errors import UserError

SHORTEST = 8


@dataclasses.dataclass(frozen=True)
class Clip:
  """One clip.

  Attributes:
    name: its id.
    frames_TYX3: the real pictures, uint8.
    mel_TAF: its own speech.
    tracks: {name: truth_TK}, only those that the source has.
    portrait_YX3: a frame from a random place, outside if there is an outside.
    portrait_tracks: {name: truth_K} of the portrait.
  """

  name: str
  frames_TYX3: np.ndarray
  mel_TAF: np.ndarray
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
  for name, ours in (
    ("size", generator.size),
    ("mel_bins", generator.mel_bins),
  ):
    if config[name] != ours:
      raise UserError(
        f"{held_out.directory} was prepared with {name} {config[name]}, but "
        f"the checkpoint needs {ours}; run python -m launch.prepare with "
        f"--{name.replace('_', '-')} {ours}"
      )


def load_clips(source, tracks, clips, frames, seed):
  """Takes the first `clips` clips, and the first `frames` frames of each.

  Args:
    source: sequence of records of a frames dataset.
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
      taken.append(_clip(record, tracks, frames, rng))
  if len(taken) < 2:
    raise UserError(
      f"{len(taken)} clips of at least {SHORTEST} frames; an evaluation needs "
      "two or more, so that a clip can be driven by the audio of another"
    )
  return taken


def _clip(record, tracks, frames, rng):
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
    mel_TAF=record["mel"][:frames],
    tracks={name: truth[name][:frames] for name in truth},
    portrait_YX3=record["frames"][portrait],
    portrait_tracks={name: truth[name][portrait] for name in truth},
  )
