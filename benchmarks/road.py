"""The whole road at 256 px by the commands of `launch`: do they come together?

  python -m benchmarks.road --out runs/road

Films in which a lamp flashes while a tone sounds, beside clips of the corpus,
become frames, latents of 1, 4 and 8 frames (the kinds patches, wan and ltx, all
trained here, briefly), with features of a random HuBERT; and films again. Then
a talker on wan's latents is trained, and heard: it should flash with the tones
of films that it never saw, in a film of `launch.sample` and in a live stream.
Every film made is read by `flashes.read`. It need not look good, but wan and
ltx must have learned enough to tell the frames of a latent apart: as configured
they have not (docs/encoders.md).

Needs the extra `test`, for transformers. An hour on two CPU cores; run again,
it goes on where it was.
"""

import argparse
import pathlib
import subprocess
import sys

import av
import numpy as np
from PIL import Image

from benchmarks.flashes import read, write_flashes
from data_pipelines.shards import open_dataset
from eartalk_jax.files import write_json
from eartalk_jax.generate import load_generator
from eartalk_jax.importing.sources import open_source
from eartalk_jax.spans import FPS, FRAME_SAMPLES, SAMPLE_RATE
from eartalk_jax.speech import save_speech, wav2vec
from eartalk_jax.streaming import Streams
from eartalk_jax.tokenizers.coding import decode
from eartalk_jax.tokenizers.storing import load_tokenizer
from eartalk_jax.video import writing_video

SIZE = 256
FRAMES = 33  # whole latents of 4 and of 8 frames
_FLASHES = {"train": 12, "held_out": 4}
# Config and what is smaller than there, of each kind.
_TOKENIZERS = {
  "patches": (
    "tokenizer_demo",
    "model.size=256 model.width=64 model.heads=2 model.encoder_depth=0 "
    "model.decoder_depth=1 run.steps=100 statistics_pictures=128",
  ),
  "wan": ("tokenizer_video_small", ""),
  "ltx": ("tokenizer_ltx_small", ""),
}
# A live stream hears pieces of odd lengths.
_PIECE = 1_111


def main():
  """Goes the whole way, and writes OUT/road.json."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--out", type=pathlib.Path, required=True)
  out = parser.parse_args().out
  _films(out)
  _speech(out)
  found = {}
  for kind in _TOKENIZERS:
    _tokenizer(out, kind)
    found |= {f"{kind}: {k}": v for k, v in returned(out, kind).items()}
  _launch(
    f"train --config configs/road.py --workdir {out}/talker "
    f"--config.data.tokens={out}/tokens/wan/train "
    f"--config.tokenizer={out}/wan/tokenizer"
  )
  found |= heard(out)
  for name, reading in found.items():
    print(f"{name}: {reading}")
  figures = {
    name: {"same": r.same, "apart_ms": float(r.apart_ms.max(initial=0))}
    for name, r in found.items()
  }
  write_json(out / "road.json", figures)


def _launch(words):
  """Runs a command of `launch`."""
  print(f"python -m launch.{words}", flush=True)
  command = [sys.executable, "-m", *f"launch.{words}".split()]
  subprocess.run(command, check=True)


def _films(out):
  """OUT/films and OUT/frames."""
  corpus = "--clips 5 --held-out 1 --seconds 1.4 --seed 3 --scale 2"
  _launch(f"make_corpus --out {out}/films {corpus}")
  for part, count in _FLASHES.items():
    for number in range(count):
      path = out / "films" / part / "flashes" / f"{number:02}.mp4"
      if not path.exists():
        write_flashes(path, [number, len(part)], FRAMES, SIZE)
    _launch(
      f"prepare --input {out}/films/{part} --out {out}/frames/{part} "
      f"--size {SIZE} --faces whole"
    )


def _speech(out):
  """OUT/hubert: random weights, by way of transformers' own files."""
  if (out / "hubert" / "speech.json").exists():
    return
  import torch
  import transformers

  torch.manual_seed(0)
  config = transformers.HubertConfig(
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    conv_dim=(16,) * 7,
    num_conv_pos_embeddings=16,
    num_conv_pos_embedding_groups=4,
  )
  transformers.HubertModel(config).save_pretrained(out / "hubert_original")
  source = open_source(out / "hubert_original")
  speech = wav2vec.HUBERT.imported(source, (20, 5, 5), (1, 2))
  save_speech(out / "hubert", speech)


def _tokenizer(out, kind):
  """OUT/KIND and OUT/tokens/KIND."""
  config, changes = _TOKENIZERS[kind]
  changes = " ".join(f"--config.{change}" for change in changes.split())
  _launch(
    f"train_tokenizer --config configs/{config}.py --workdir {out}/{kind} "
    f"--config.data.frames={out}/frames/train "
    f"--config.data.held_out={out}/frames/held_out {changes}"
  )
  for part in _FLASHES:
    _launch(
      f"tokenize --input {out}/frames/{part} --speech {out}/hubert "
      f"--tokenizer {out}/{kind}/tokenizer --out {out}/tokens/{kind}/{part}"
    )


def returned(out, kind):
  """{film: Reading} of what tokens say of the held-out films."""
  tokenizer = load_tokenizer(out / kind / "tokenizer")
  frames = open_dataset(out / "frames" / "held_out", "frames").source
  tokens = open_dataset(out / "tokens" / kind / "held_out", "tokens").source
  found = {}
  for number in range(len(frames)):
    clip, record = frames[number], tokens[number]
    if "flashes" not in clip["source"]:
      continue
    latents_1thwC = record["latents"][None].astype(np.float32)
    made_TYX3 = decode(tokenizer, clip["frames"][None, 0], latents_1thwC)[0]
    path = out / "returned" / kind / f"{number:02}.mp4"
    _write(path, made_TYX3, clip["audio"] / 32768)
    found[f"returned {number}"] = read(path)
  return found


def heard(out):
  """{film: Reading} of what the talker makes of held-out films' sound."""
  generator = load_generator(out / "talker")
  streams, found = Streams(generator), {}
  for film in sorted((out / "films/held_out/flashes").glob("*.mp4")):
    portrait = out / "heard" / f"{film.stem}.png"
    portrait.parent.mkdir(exist_ok=True)
    with av.open(str(film)) as opened:
      first_YX3 = next(opened.decode(video=0)).to_ndarray(format="rgb24")
    Image.fromarray(first_YX3).save(portrait)
    sampled = portrait.with_suffix(".sampled.mp4")
    _launch(
      f"sample --checkpoint {out}/talker --faces whole --portrait {portrait} "
      f"--audio {film} --out {sampled}"
    )
    found[f"sampled {film.stem}"] = read(sampled)
    live = portrait.with_suffix(".live.mp4")
    samples_S = _sound(film)
    _write(live, _live(streams, first_YX3, samples_S), samples_S)
    found[f"live {film.stem}"] = read(live)
  return found


def _live(streams, portrait_YX3, samples_S):
  """The frames of a stream that hears the sound piece by piece."""
  stream = streams.open(portrait_YX3)
  frames = []
  for start in range(0, len(samples_S), _PIECE):
    stream.push(samples_S[start : start + _PIECE])
    frames.append(stream.pull())
  stream.finish()
  frames.append(stream.pull())
  stream.close()
  return np.concatenate(frames)


def _sound(film):
  """Samples at our rate, as any player would resample them."""
  to_ours = av.AudioResampler("fltp", "mono", SAMPLE_RATE)
  with av.open(str(film)) as opened:
    parts = [
      part.to_ndarray()[0]
      for frame in [*opened.decode(audio=0), None]
      for part in to_ours.resample(frame)
    ]
  return np.concatenate(parts)


def _write(path, frames_TYX3, samples_S):
  """A film of the frames and as much of the sound."""
  size = frames_TYX3.shape[1:3]
  with writing_video(path, size, FPS, SAMPLE_RATE) as film:
    film.write_audio(samples_S[: len(frames_TYX3) * FRAME_SAMPLES])
    for frame_YX3 in frames_TYX3:
      film.write(frame_YX3)


if __name__ == "__main__":
  main()
