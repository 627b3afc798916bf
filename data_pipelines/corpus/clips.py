"""One clip: a person saying something, as an mp4 file with its truth.

A clip is a pure function of (seed, part, index, seconds, scale). The truth is
written first, so an mp4 file that is there is complete in every respect.
"""

import dataclasses
import pathlib

import numpy as np

from data_pipelines.corpus import sentences, speech, visemes
from data_pipelines.corpus.identity import make_identity
from data_pipelines.corpus.motion import EMOTIONS, make_motion
from data_pipelines.corpus.portrait import Portrait, make_framing
from data_pipelines.corpus.sound import make_sound
from data_pipelines.corpus.timing import make_timing
from data_pipelines.corpus.writing import write_mp4
from eartalk_jax import files

PARTS = ("train", "held_out")


@dataclasses.dataclass(frozen=True)
class ClipJob:
  """Which clip to make, and in which corpus folder."""

  root: str
  seed: int
  part: str
  index: int
  seconds: float
  scale: int = 1

  @property
  def video_path(self):
    """Where the mp4 file goes."""
    name = f"clip_{self.index:04d}.mp4"
    return pathlib.Path(self.root) / self.part / name

  @property
  def truth_path(self):
    """Where its truth goes."""
    return self.video_path.with_suffix(".truth.json")

  @property
  def is_finished(self):
    """Whether both files are there."""
    return self.video_path.exists() and self.truth_path.exists()


def make_clip(job):
  """Makes the files of one clip; returns the number of video frames."""
  held_out = job.part == "held_out"
  key = [job.seed, PARTS.index(job.part), job.index]
  # One generator per topic: a change to one leaves the others as they were.
  rngs = [np.random.default_rng([*key, topic]) for topic in range(5)]
  timing = make_timing(rngs[0], job.seconds)
  voice = speech.make_voice(rngs[1], held_out)
  text, talk = _talk(rngs[1], voice, timing.seconds, held_out)
  person = make_identity(rngs[2])
  framing = make_framing(rngs[2], job.scale)
  motion = make_motion(rngs[3], timing.times_T, timing.seconds)
  mouth_T3 = visemes.mouth_shapes(talk.phonemes, timing.times_T, timing.seconds)
  samples_AS, sample_rate = make_sound(rngs[4], talk, timing.seconds)
  truth = _truth(timing, mouth_T3, motion, talk)
  truth |= {"sentence": text, "identity": f"{job.part}-{job.index:04d}"}
  truth["voice"] = (
    f"{voice.espeak} rate {voice.rate} pitch {voice.pitch}"
    f" range {voice.pitch_range}"
  )
  job.video_path.parent.mkdir(parents=True, exist_ok=True)
  files.write_json(job.truth_path, truth)
  write_mp4(
    job.video_path,
    _pictures(Portrait(person, framing), mouth_T3, motion),
    (framing.width, framing.height),
    timing,
    samples_AS,
    sample_rate,
  )
  return len(timing.pts_T)


def _talk(rng, voice, seconds, held_out):
  """Sentences one after another until the track is full."""
  lead, pause = rng.uniform(0.15, 0.45), rng.uniform(0.1, 0.35)
  texts, utterances, length = [], [], lead
  while length < seconds:
    texts.append(sentences.make_sentence(rng, held_out))
    utterances.append(speech.speak(texts[-1], voice))
    length += len(utterances[-1].samples_S) / speech.SAMPLE_RATE + pause
  talk = speech.lay_out(utterances, seconds, lead, pause)
  return " ".join(texts), talk


def _truth(timing, mouth_T3, motion, talk):
  tracks = {
    "mouth": mouth_T3,
    "pose": motion.pose_T3,
    "blink": motion.blink_T1,
    "gaze": motion.gaze_T2,
    "emotion": motion.emotion_T1,
  }
  return {
    "version": 1,
    "times": [round(float(t), 6) for t in timing.times_T],
    "tracks": {
      name: np.round(values, 4).astype(float).round(4).tolist()
      for name, values in tracks.items()
    },
    "categories": {"emotion": list(EMOTIONS)},
    "phonemes": [
      {"start": round(p.start, 4), "end": round(p.end, 4), "ipa": p.ipa}
      for p in talk.phonemes
    ],
  }


def _pictures(portrait, mouth_T3, motion):
  for i, mouth_3 in enumerate(mouth_T3):
    yield portrait.draw(
      mouth_3,
      motion.pose_T3[i],
      float(motion.blink_T1[i, 0]),
      motion.gaze_T2[i],
      motion.emotion_TE[i],
    )
