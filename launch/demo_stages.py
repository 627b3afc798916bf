"""The stages of the demo, each one command."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable

import numpy as np
from PIL import Image

import configs
from configs import demo, tokenizer_demo
from eartalk_jax import files
from eartalk_jax.spans import FPS


@dataclasses.dataclass(frozen=True)
class Plan:
  """How large a demo is.

  Attributes:
    seed: of the corpus.
    clips, held_out: clips in all, and those of them that are held out.
    seconds, held_out_seconds: length of a clip. Many short ones teach more
      than few long ones of as many frames: each is another person.
    tokenizer, talker: more flags of the two trainings.
    evaluate: more flags of the evaluation.
  """

  seed: int
  clips: int = 720
  held_out: int = 40
  seconds: float = 2.0
  held_out_seconds: float = 4.0
  tokenizer: tuple[str, ...] = ()
  talker: tuple[str, ...] = ()
  evaluate: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Stage:
  """One command.

  Attributes:
    name: a short one for the ledger.
    title: what it does.
    command: arguments of the Python interpreter.
    output: a file that is there when it is done.
    prepare: called before; makes what the command reads.
  """

  name: str
  title: str
  command: list
  output: pathlib.Path
  prepare: Callable = lambda: None


def make_stages(out, plan):
  """All stages, in order; everything goes below the directory `out`."""
  return [
    _corpus(out, plan),
    _prepare(out, "train", "prepare the training clips"),
    _prepare(out, "held_out", "prepare the held-out clips"),
    _train_tokenizer(out, plan),
    _tokenize(out),
    _train_talker(out, plan),
    _sample(out),
    _evaluate(out, plan),
    _report(out),
  ]


def _stage(name, title, output, module, *flags, prepare=lambda: None):
  command = ["-m", f"launch.{module}", *map(str, flags)]
  return Stage(name, title, command, output, prepare)


def _corpus(out, plan):
  flags = ["--out", out / "corpus", "--seed", plan.seed]
  flags += ["--clips", plan.clips, "--held-out", plan.held_out]
  flags += ["--seconds", plan.seconds]
  flags += ["--held-out-seconds", plan.held_out_seconds]
  made = out / "corpus" / "held_out"
  return _stage("corpus", "make media files", made, "make_corpus", *flags)


def _prepare(out, part, title):
  flags = ["--input", out / "corpus" / part, "--out", out / "frames" / part]
  flags += ["--size", tokenizer_demo.get_config().model.size]
  made = out / "frames" / part / "manifest.json"
  return _stage(f"prepare {part}", title, made, "prepare", *flags)


def _train_tokenizer(out, plan):
  frames = out / "frames"
  return _stage(
    "tokenizer",
    "train the frame tokenizer",
    out / "tokenizer" / "tokenizer" / "tokenizer.json",
    "train_tokenizer",
    f"--config={_config('tokenizer_demo')}",
    f"--workdir={out / 'tokenizer'}",
    f"--config.data.frames={frames / 'train'}",
    f"--config.data.held_out={frames / 'held_out'}",
    *plan.tokenizer,
  )


def _tokenize(out):
  flags = ["--input", out / "frames" / "train"]
  flags += ["--tokenizer", out / "tokenizer" / "tokenizer"]
  flags += ["--speech", f"mel:{demo.get_config().model.audio.bins}"]
  flags += ["--out", out / "tokens" / "train", "--mirror"]
  made = out / "tokens" / "train" / "manifest.json"
  return _stage("tokenize", "frames to tokens", made, "tokenize", *flags)


def _train_talker(out, plan):
  return _stage(
    "talker",
    "train the talker",
    out / "talker" / "config.json",
    "train",
    f"--config={_config('demo')}",
    f"--workdir={out / 'talker'}",
    f"--config.data.tokens={out / 'tokens' / 'train'}",
    f"--config.tokenizer={out / 'tokenizer' / 'tokenizer'}",
    *plan.talker,
  )


def _sample(out):
  where = out / "sample"
  flags = ["--checkpoint", out / "talker", "--faces", "whole"]
  flags += ["--portrait", where / "portrait.png"]
  flags += ["--audio", where / "speech.mp4"]
  flags += ["--controls", where / "controls.json"]
  flags += ["--portrait-controls", where / "portrait.json"]
  made = out / "sample.mp4"
  return _stage(
    "sample",
    "make a video",
    made,
    "sample",
    *flags,
    "--out",
    made,
    prepare=lambda: prepare_sample(out),
  )


def _evaluate(out, plan):
  flags = ["--checkpoint", out / "talker", "--data", out / "frames/held_out"]
  flags += ["--out", out / "evaluation", *plan.evaluate]
  made = out / "evaluation" / "metrics.json"
  return _stage("evaluate", "measure", made, "evaluate", *flags)


def _report(out):
  flags = ["--checkpoint", out / "talker", "--tokenizer", out / "tokenizer"]
  flags += ["--evaluation", out / "evaluation", "--video", out / "sample.mp4"]
  flags += ["--stages", out / "stages.json"]
  caption = (
    "One picture of a person that training never saw, and speech from a voice "
    "that it never heard. Midway a controls file turns the head and changes "
    "the emotion; the lips follow the speech alone, blinks come by themselves."
  )
  flags += ["--video-caption", caption, "--out", out / "report.html"]
  made = out / "report.html"
  return _stage("report", "write the report", made, "report", *flags)


def _config(name):
  path = pathlib.Path(configs.__file__).with_name(f"{name}.py")
  return os.path.relpath(path)


def prepare_sample(out):
  """Writes portrait, speech and their controls for the video of the demo.

  They are of the first held-out clip: the speech is its media file, the
  portrait its calmest frame.
  """
  # Here, so that the process that only waits for the others stays small.
  from data_pipelines.shards import open_dataset

  dataset = open_dataset(out / "frames" / "held_out", "frames")
  clip = dataset.source[0]
  where = out / "sample"
  where.mkdir(exist_ok=True)
  calm_T = np.abs(clip["tracks/pose"]).sum(1)
  calm_T = calm_T + clip["tracks/mouth"][:, 0] + clip["tracks/blink"][:, 0]
  calm = int(calm_T.argmin())
  with files.replacing(where / "portrait.png") as temporary:
    Image.fromarray(clip["frames"][calm]).save(temporary, "PNG")
  speech = where / "speech.mp4"
  speech.unlink(missing_ok=True)
  speech.symlink_to((out / "corpus/held_out" / clip["source"]).resolve())
  emotions = dataset.manifest["categories"]["emotion"]
  known = {
    name: np.clip(clip[f"tracks/{name}"][calm], -1, 1).astype(float).tolist()
    for name in ("pose", "blink", "gaze")
  }
  known["emotion"] = emotions[int(clip["tracks/emotion"][calm, 0])]
  files.write_text(where / "portrait.json", json.dumps(known))
  controls = demo_controls(len(clip["frames"]), emotions)
  files.write_text(where / "controls.json", json.dumps(controls))


def demo_controls(frames, emotions):
  """A head that turns from one side to the other while its mood changes."""
  middle, turn = frames // 2, FPS // 2
  seconds_T = (np.arange(frames) - middle) / turn
  yaw_T = 0.5 * np.tanh(2 * seconds_T)
  poses = {str(t): [round(float(y), 3), 0.0, 0.0] for t, y in enumerate(yaw_T)}
  return {
    "pose": poses,
    "emotion": {"0": emotions[1], str(middle): emotions[-1]},
  }
