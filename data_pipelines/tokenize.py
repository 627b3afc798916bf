"""Frame shards to token shards: the same clips, pictures turned into latents.

  OUT/job.json          what is being made; another job refuses this folder
  OUT/.done/NAME.json   one for each committed shard: its manifest entry
  OUT/tokens-...        the shards; the manifest comes last

A rerun skips committed shards, and a job is another one if anything it depends
on differs: the pictures, or a single weight of the tokenizer.
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

# Pictures of several clips encoded together, so that few rows are padding.
_TOGETHER = 512


def tokenize(frames, tokenizer, out, mirror=False):
  """Writes the token dataset of a frames dataset.

  Args:
    frames: open frames dataset.
    tokenizer: Tokenizer.
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
  features = _features(frames, tokenizer)
  check_folder(out, reads=[frames.directory])
  with alone_in(out):
    return _tokenize(frames, tokenizer, out, mirror, features)


def _tokenize(frames, tokenizer, out, mirror, features):
  job = _job(frames, tokenizer, mirror)
  _claim(out, job)
  groups = _groups(frames)
  entries = []
  total = sum(len(clips) for clips in groups)
  with counting("tokenizing", total, "clips") as advance:
    for index, clips in enumerate(groups):
      path = shards.shard_path(out, "tokens", index, len(groups))
      entry = _committed(path)
      if entry is None:
        records = _records(frames.source, clips, tokenizer, mirror, advance)
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
      "mel_bins": features["mel"].shape[-1],
      "kind": "tokens",
      "config": job,
      "tokenizer_fingerprint": tokenizer.fingerprint,
      "source_fingerprint": frames.fingerprint,
      "source_dir": str(frames.directory.resolve()),
      "latent_shape": list(tokenizer.latent_shape),
      "shards": entries,
    },
  )


def _check_mirror(frames):
  strange = known.without_mirror(frames.manifest["track_sizes"])
  if strange:
    raise UserError(
      f"{frames.directory}: nobody knows what the tracks {strange} are in a "
      "mirror; leave out --mirror"
    )


def _job(frames, tokenizer, mirror):
  return {
    "version": shards.VERSION,
    "mirror": mirror,
    "frames": frames.fingerprint,
    "tokenizer": tokenizer.fingerprint,
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


def _features(frames, tokenizer):
  """Those of the frames, with latents for pictures and without samples."""
  features = dict(shards.open_builder(frames.directory).info.features)
  size = features.pop("frames").shape[1]
  del features["audio"]
  if size != tokenizer.config.size:
    raise UserError(
      f"{frames.directory} has pictures of {size} px, but the tokenizer is "
      f"made for {tokenizer.config.size}; prepare them with --size "
      f"{tokenizer.config.size} or train a tokenizer for {size}"
    )
  features["latents"] = tfds.features.Tensor(
    shape=(None, *tokenizer.latent_shape), dtype=np.float16, encoding="bytes"
  )
  return features


def _records(source, clips, tokenizer, mirror, advance):
  """The token records of some clips, in order."""
  waiting = []
  for index in clips:
    waiting.append(dict(source[index]))
    if mirror:
      waiting.append(_mirrored(waiting[-1]))
    last = index == clips[-1]
    if last or sum(len(clip["frames"]) for clip in waiting) >= _TOGETHER:
      yield from _encoded(waiting, tokenizer)
      advance(len(waiting) // (1 + mirror))
      waiting = []


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
  """Clip records with latents for pictures, made in one call."""
  frames_TYX3 = np.concatenate([clip.pop("frames") for clip in clips])
  latents_ThwC = tokenizer.encode(frames_TYX3[None])[0].astype(np.float16)
  for clip in clips:
    del clip["audio"]
    length = len(clip["mel"])
    yield clip | {"latents": latents_ThwC[:length]}
    latents_ThwC = latents_ThwC[length:]


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
