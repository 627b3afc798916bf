"""Frame shards to token shards: pictures to latents, sound to features.

  OUT/job.json          what is being made; another job refuses this folder
  OUT/.done/NAME.json   one for each committed shard: its manifest entry
  OUT/speech/           the encoder of the sound
  OUT/tokens-...        the shards; the manifest comes last

A rerun skips committed shards, and a job is another one if anything it depends
on differs: the pictures, or a single weight of tokenizer or speech encoder.

Dimension key: T frames, t latents, A vectors in a frame, F numbers in a vector,
Y X picture, h w C latent frame.
"""

import pathlib

import numpy as np
import tensorflow_datasets as tfds

from data_pipelines import shards
from eartalk_jax import files
from eartalk_jax.config import describe, differences
from eartalk_jax.controls import known
from eartalk_jax.counting import counting
from eartalk_jax.documents import read_shaped
from eartalk_jax.errors import UserError
from eartalk_jax.locks import alone_in
from eartalk_jax.outputs import check_folder
from eartalk_jax.spans import first_made, frames_of, latents_of
from eartalk_jax.speech import describe as describe_speech
from eartalk_jax.speech import features as speech_features
from eartalk_jax.speech import save_speech
from eartalk_jax.tokenizers.coding import encode, encode_portraits

# Frames between two that are encoded alone, where latents are no portraits.
_PORTRAIT_EVERY = 12
# Pictures of several clips encoded together, so that few rows are padding.
_TOGETHER = 512


def tokenize(frames, tokenizer, speech, out, mirror=False):
  """Writes the token dataset of a frames dataset.

  Args:
    frames: open frames dataset.
    tokenizer: Tokenizer.
    speech: Speech.
    out: directory of the token dataset; made if need be.
    mirror: whether each clip is followed by itself in a mirror.

  Returns:
    The manifest.

  Raises:
    UserError: `out` holds something else or another command is at work there,
      the pictures have another size than the tokenizer's, nobody knows what a
      track is in a mirror, or the disk is full.
  """
  out = pathlib.Path(out)
  if mirror:
    _check_mirror(frames)
  features = _features(frames, tokenizer, speech)
  check_folder(out, reads=[frames.directory])
  with alone_in(out):
    return _tokenize(frames, tokenizer, speech, out, mirror, features)


def _tokenize(frames, tokenizer, speech, out, mirror, features):
  job = _job(frames, tokenizer, speech, mirror)
  _claim(out, job)
  save_speech(out / "speech", speech)
  groups = _groups(frames)
  entries = []
  total = sum(len(clips) for clips in groups)
  with counting("tokenizing", total, "clips") as advance:
    for index, clips in enumerate(groups):
      path = shards.shard_path(out, "tokens", index, len(groups))
      entry = _committed(path)
      if entry is None:
        encoders = tokenizer, speech
        records = _records(frames.source, clips, encoders, mirror, advance)
        entry = shards.write_shard(path, features, records)
        files.write_json(_entry_path(path), entry)
      else:
        advance(len(clips))
      entries.append(entry)
  return shards.finish_dataset(
    out,
    features,
    {
      "categories": frames.manifest["categories"],
      "track_sizes": frames.manifest["track_sizes"],
      "speech": describe_speech(speech),
      "stride": tokenizer.stride,
      **_left_over(entries, tokenizer.stride),
      "kind": "tokens",
      "config": job,
      "tokenizer_fingerprint": tokenizer.fingerprint,
      "source_fingerprint": frames.fingerprint,
      "source_dir": str(frames.directory.resolve()),
      "latent_shape": list(tokenizer.latent_shape),
      "shards": entries,
    },
  )


def _left_over(entries, stride):
  """What latents of several frames leave over, for the manifest.

  A latent after the first is `stride` frames or none: fewer at the end of a
  clip are heard, and can be portraits, and are never to be made.
  """
  lengths = [n for entry in entries for n in entry["lengths"]]
  return {
    "left_over": sum((n - 1) % stride for n in lengths),
    # Of a first latent alone: it is given, and nothing is left to learn.
    "too_short": sum(n < first_made(stride) * (1 + stride) for n in lengths),
  }


def _check_mirror(frames):
  strange = known.without_mirror(frames.manifest["track_sizes"])
  if strange:
    raise UserError(
      f"{frames.directory}: nobody knows what the tracks {strange} are in a "
      "mirror; leave out --mirror"
    )


def _job(frames, tokenizer, speech, mirror):
  return {
    "version": shards.VERSION,
    "mirror": mirror,
    "frames": frames.fingerprint,
    "tokenizer": tokenizer.fingerprint,
    "speech": speech.fingerprint,
    "latent_shape": list(tokenizer.latent_shape),
  }


def _claim(out, job):
  """Writes OUT/job.json, or compares with the one that is there."""
  path = out / "job.json"
  if path.exists():
    saved = read_shaped(path, dict, f"delete {out}")
    changes = differences(saved, job)
    if changes:
      raise UserError(
        f"the tokens in {out} are stale: {describe(changes)}; delete that "
        "folder or give another --out"
      )
  elif any(out.iterdir()):
    raise UserError(f"{out} is not empty and holds no tokens; give another")
  for leftover in [*out.glob(".*.tmp"), *out.glob(".done/.*.tmp")]:
    leftover.unlink(missing_ok=True)
  (out / ".done").mkdir(exist_ok=True)
  files.write_json(path, job)


def _groups(frames):
  """Clip numbers of each shard, as the source counts them."""
  dropped = set(frames.manifest["dropped"])
  groups, record, clip = [], 0, 0
  for shard in frames.manifest["shards"]:
    numbers = range(record, record + shard["clips"])
    count = sum(number not in dropped for number in numbers)
    groups.append(range(clip, clip + count))
    record, clip = record + shard["clips"], clip + count
  return [group for group in groups if len(group)]


def _features(frames, tokenizer, speech):
  """Those of the frames, with latents for pictures and features for samples."""
  features = dict(shards.open_builder(frames.directory).info.features)
  size = features.pop("frames").shape[1]
  del features["audio"]
  wanted, _ = tokenizer.picture_shape
  if (size, size) != tokenizer.picture_shape:
    raise UserError(
      f"{frames.directory} has pictures of {size} px, but the tokenizer is "
      f"made for {wanted}; prepare them with --size {wanted} or train a "
      f"tokenizer for {size}"
    )
  features["latents"] = tfds.features.Tensor(
    shape=(None, *tokenizer.latent_shape), dtype=np.float16, encoding="bytes"
  )
  if first_made(tokenizer.stride):
    features["portraits"] = features["latents"]
    features["portrait_frames"] = tfds.features.Tensor(
      shape=(None,), dtype=np.int32, encoding="bytes"
    )
  features["features"] = tfds.features.Tensor(
    shape=(None, *speech.shape), dtype=_stored_type(speech), encoding="bytes"
  )
  return features


def _records(source, clips, encoders, mirror, advance):
  """The token records of some clips, in order."""
  waiting = []
  tokenizer, speech = encoders
  for index in clips:
    clip = dict(source[index])
    audio_S = clip.pop("audio")
    waiting.append(clip | {"features": _heard(speech, audio_S)})
    if mirror:
      waiting.append(_mirrored(waiting[-1]))
    last = index == clips[-1]
    if last or sum(len(clip["frames"]) for clip in waiting) >= _TOGETHER:
      yield from _encoded(waiting, tokenizer)
      advance(len(waiting) // (1 + mirror))
      waiting = []


def _stored_type(speech):
  """What a network makes is stored as latents are: in half the size."""
  return np.float16 if speech.params else np.float32


def _heard(speech, audio_S):
  """The features of a clip as they are stored, [T A F]."""
  stored = _stored_type(speech)
  # A few numbers of a large network lie beyond what float16 has.
  most = np.finfo(stored).max
  return speech_features(speech, audio_S).clip(-most, most).astype(stored)


def _mirrored(clip):
  """The record of a clip in a mirror."""
  tracks = {
    name: known.mirrored(name.removeprefix("tracks/"), value)
    for name, value in clip.items()
    if name.startswith("tracks/")
  }
  pictures = clip["frames"][:, :, ::-1]
  name = f"{clip['clip_id']}:mirrored"
  return clip | tracks | {"frames": pictures, "clip_id": name}


def _encoded(clips, tokenizer):
  """Clip records with latents for pictures."""
  if first_made(tokenizer.stride):
    yield from (_with_portraits(clip, tokenizer) for clip in clips)
    return
  # A latent is a frame, so all clips go in one call; each frame is a portrait.
  frames_TYX3 = np.concatenate([clip.pop("frames") for clip in clips])
  latents_ThwC = encode(tokenizer, frames_TYX3[None])[0].astype(np.float16)
  for clip in clips:
    length = len(clip["features"])
    yield clip | {"latents": latents_ThwC[:length]}
    latents_ThwC = latents_ThwC[length:]


def _with_portraits(clip, tokenizer):
  """A record whose latents are of several frames; some frames encoded alone.

  A latent of a running video is no portrait.
  """
  frames_TYX3 = clip.pop("frames")
  whole = frames_of(
    latents_of(len(frames_TYX3), tokenizer.stride) - 1, tokenizer.stride
  ).stop
  alone = np.arange(0, len(frames_TYX3), _PORTRAIT_EVERY, dtype=np.int32)
  latents_1thwC = encode(tokenizer, frames_TYX3[None, :whole])
  portraits_RhwC = encode_portraits(tokenizer, frames_TYX3[alone])
  return clip | {
    "latents": latents_1thwC[0].astype(np.float16),
    "portraits": portraits_RhwC.astype(np.float16),
    "portrait_frames": alone,
  }


def _entry_path(path):
  return path.parent / ".done" / f"{path.name}.json"


def _committed(path):
  """The entry of a shard that is there and intact, else None."""
  try:
    entry = read_shaped(_entry_path(path), shards.ENTRY)
  except UserError:
    return None
  whole = shards.shard_problem(path.parent, entry) is None
  return entry if whole and entry["name"] == path.name else None
