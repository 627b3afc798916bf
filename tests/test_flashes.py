"""Flash and beep come back in one frame, whatever a latent's frames are."""

import numpy as np
import pytest
from clockwork import clockwork
from videos import prepare

from benchmarks.flashes import read, write_flashes
from data_pipelines.shards import open_dataset
from data_pipelines.tokenize import tokenize
from eartalk_jax.speech import open_speech
from eartalk_jax.tokenizers.coding import decode
from eartalk_jax.video import writing_video

MEL = open_speech("mel:8")
FRAMES = 36  # 1 + 35: no latent of 4 or 8 frames ends with it


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
  root = tmp_path_factory.mktemp("flashes")
  write_flashes(root / "films" / "a.mp4", 0, FRAMES, 64)
  prepare(root / "films", root / "frames", size=32, faces="whole")
  return open_dataset(root / "frames", "frames")


@pytest.fixture(scope="module", params=[0, 2, 3], ids=lambda n: str(2**n))
def tokens(request, frames, tmp_path_factory):
  in_time = ((True,) * request.param + (False,) * 2)[: max(request.param, 2)]
  tokenizer = clockwork(in_time)
  assert tokenizer.stride == 2**request.param
  out = tmp_path_factory.mktemp("tokens")
  tokenize(frames, tokenizer, MEL, out, mirror=True)
  return tokenizer, open_dataset(out, "tokens")


def test_films_come_back_with_light_and_sound_together(
  tokens, frames, tmp_path
):
  tokenizer, dataset = tokens
  clip, record = frames.source[0], dataset.source[0]
  latents_1thwC = record["latents"][None].astype(np.float32)
  made_TYX3 = decode(tokenizer, clip["frames"][None, 0], latents_1thwC)[0]
  assert len(made_TYX3) == FRAMES - (FRAMES - 1) % tokenizer.stride
  samples_S = clip["audio"][: 640 * len(made_TYX3)] / 32768
  with writing_video(tmp_path / "film.mp4", (32, 32), 25, 16_000) as film:
    film.write_audio(samples_S)
    for picture in made_TYX3:
      film.write(picture)
  there, back = (
    read(path)
    for path in (
      frames.directory.parent / "films" / "a.mp4",
      tmp_path / "film.mp4",
    )
  )
  assert back.same == 1 and back.apart_ms.max() <= 20
  np.testing.assert_array_equal(
    back.light_T, there.light_T[: len(back.light_T)]
  )


def test_what_is_left_over_is_said_and_a_mirrored_clip_is_one(tokens, frames):
  tokenizer, dataset = tokens
  manifest = dataset.manifest
  assert manifest["left_over"] == 2 * (35 % tokenizer.stride)
  assert manifest["too_short"] == 0
  clip, mirrored = dataset.source[0], dataset.source[1]
  # This tokenizer takes every place's upper left pixel.
  factor = tokenizer.config.factor
  flipped = frames.source[0]["frames"][:, ::factor, ::-factor][:1].mean(-1)
  found = mirrored["latents"][0, ..., 0]
  seen = np.corrcoef(found.ravel(), flipped.ravel())[0, 1]
  assert (
    seen
    > 0.98
    > np.corrcoef(clip["latents"][0, ..., 0].ravel(), flipped.ravel())[0, 1]
  )
