"""A portrait says what is heard in an audio file: pip install av pillow.

  python example.py --portrait face.png --audio speech.wav --out talking.mp4 \\
    --controls '{"emotion": {"0": "happy"}}'
"""

import argparse
import json
import pathlib

import av
import numpy as np
import torch
from modeling_eartalk import EARTalking
from PIL import Image

HERE = pathlib.Path(__file__).parent


def read_audio(path, rate):
  """Any audio as mono float32 at `rate` Hz."""
  resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
  with av.open(path) as file:
    frames = [
      x for frame in file.decode(audio=0) for x in resampler.resample(frame)
    ]
  frames += resampler.resample(None)
  return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def write_video(path, frames, side, fps, samples_S, rate):
  """Frames and their sound as mp4, while they are made."""
  with av.open(path, "w") as file:
    video = file.add_stream("libx264", rate=fps)
    video.width, video.height, video.pix_fmt = side, side, "yuv420p"
    sound = file.add_stream("aac", rate=rate, layout="mono")
    count = 0
    for frame_YX3 in frames:
      count += 1
      file.mux(video.encode(av.VideoFrame.from_ndarray(frame_YX3)))
    file.mux(video.encode())
    samples_S = samples_S[: count * rate // fps]
    for start in range(0, len(samples_S), 1024):
      part = samples_S[None, start : start + 1024].astype(np.float32)
      block = av.AudioFrame.from_ndarray(part, format="flt", layout="mono")
      block.sample_rate, block.pts = rate, start
      file.mux(sound.encode(block))
    file.mux(sound.encode())
  return count


def main():
  """Loads the folder that this file lies in and makes the video."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--portrait", required=True, help="a face, cropped")
  parser.add_argument("--audio", required=True)
  parser.add_argument("--out", default="talking.mp4")
  parser.add_argument("--controls", default="{}", help="JSON")
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--device", default="cpu")
  parser.add_argument("--compile", action="store_true")
  args = parser.parse_args()
  torch.set_float32_matmul_precision("highest")
  model = EARTalking.from_pretrained(HERE, device=args.device)
  config = model.cfg
  side = config.tokenizer.size
  picture = Image.open(args.portrait).convert("RGB").resize((side, side))
  samples_S = read_audio(args.audio, config.audio.sample_rate)
  frames = model.generate(
    np.asarray(picture),
    samples_S,
    json.loads(args.controls),
    seed=args.seed,
    compile=args.compile,
  )
  count = write_video(
    args.out, frames, side, config.fps, samples_S, config.audio.sample_rate
  )
  print(f"{args.out}: {count} frames")


if __name__ == "__main__":
  main()
