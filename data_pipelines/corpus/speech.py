"""Spoken English with phoneme times, from espeak-ng.

Dimension key: S audio samples.
"""

import dataclasses
import pathlib
import subprocess
import sys

import numpy as np

from eartalk_jax.errors import UserError

SAMPLE_RATE = 22_050
_ACCENTS = (
  "gmw/en",
  "gmw/en-US",
  "gmw/en-GB-x-rp",
  "gmw/en-GB-scotland",
  "gmw/en-US-nyc",
)
_TRAIN_VARIANTS = (
  "f1 f2 f4 m1 m3 m5 m6 m8 Alex Alicia Andy Annie Denis Diogo Gene Hugo "
  "Lee Mario Michael Mike Reed adam anika belinda benjamin boris caleb david "
  "ed f5 grandma iven3 iven4 john kaukovalta linda max michel miguel pablo "
  "quincy rob sandro shelby steph norbert travis zac"
)
_HELD_OUT_VARIANTS = (
  "f3 m4 m7 Henrique aunty edward Gene2 robert marcelo victor m2 grandpa"
)
_SPOKEN_LEVEL = 0.08
_CHILD = pathlib.Path(__file__).with_name("espeak_child.py")


@dataclasses.dataclass(frozen=True)
class Voice:
  """How somebody talks: an espeak-ng voice, words per minute, pitch."""

  espeak: str
  rate: int
  pitch: int
  pitch_range: int


@dataclasses.dataclass(frozen=True)
class Phoneme:
  """One phoneme: seconds from the start, IPA without stress; '' is silence."""

  start: float
  end: float
  ipa: str


@dataclasses.dataclass(frozen=True)
class Speech:
  """Mono audio at SAMPLE_RATE, about [-1, 1], and its phonemes in order."""

  samples_S: np.ndarray
  phonemes: tuple[Phoneme, ...]


def make_voice(rng, held_out):
  """Draws a voice; the two parts draw from different speakers."""
  names = _HELD_OUT_VARIANTS if held_out else _TRAIN_VARIANTS
  return Voice(
    espeak=f"{rng.choice(_ACCENTS)}+{rng.choice(names.split())}",
    rate=int(rng.integers(120, 161)),
    pitch=int(rng.integers(30, 71)),
    pitch_range=int(rng.integers(35, 66)),
  )


def speak(text, voice):
  """Speaks `text`; the same arguments give the same bytes everywhere.

  Raises:
    UserError: espeak-ng is not installed, or cannot speak with `voice`.
  """
  try:
    import espeakng_loader
  except ImportError as error:
    raise UserError(
      "speech needs the package espeakng-loader; install it with"
      " pip install 'eartalk-jax[demo]'"
    ) from error
  settings = (voice.rate, voice.pitch, voice.pitch_range)
  command = [
    *(sys.executable, "-I", "-S", str(_CHILD)),
    espeakng_loader.get_library_path(),
    espeakng_loader.get_data_path().removesuffix("/espeak-ng-data"),
    voice.espeak,
    *map(str, settings),
  ]
  child = subprocess.run(command, input=text.encode(), capture_output=True)
  if child.returncode:
    reason = child.stderr.decode(errors="replace").strip().splitlines()
    raise UserError(
      f"espeak-ng could not speak with the voice {voice.espeak}:"
      f" {reason[-1] if reason else child.returncode};"
      " reinstall espeakng-loader"
    )
  head, wave = child.stdout.split(b"\n\n", 1)
  return _speech(head.decode().split("\n"), np.frombuffer(wave, "<i2"))


def _speech(lines, wave_S):
  assert int(lines[0]) == SAMPLE_RATE, lines[0]
  samples_S = wave_S.astype(np.float32) / 32_768
  rows = [line.split(" ", 1) for line in lines[1:]]
  starts = [(int(at), ipa) for at, ipa in rows]
  ends = [start for start, _ in starts[1:]] + [len(wave_S)]
  phonemes = []
  for (start, ipa), end in zip(starts, ends, strict=True):
    if end > start:
      ipa = "".join(c for c in ipa if c not in "ˈˌ_ \u200d")
      phonemes.append(Phoneme(start / SAMPLE_RATE, end / SAMPLE_RATE, ipa))
  return Speech(_level(samples_S, phonemes), tuple(phonemes))


def _level(samples_S, phonemes):
  """Voices differ by 20 dB; brings the spoken part to one level."""
  spoken = [
    samples_S[int(p.start * SAMPLE_RATE) : int(p.end * SAMPLE_RATE)]
    for p in phonemes
    if p.ipa
  ]
  power = np.mean(np.concatenate(spoken) ** 2) if spoken else 1.0
  return samples_S * np.float32(_SPOKEN_LEVEL / np.sqrt(power + 1e-9))


def lay_out(utterances, seconds, lead, pause):
  """Places utterances one after another on a track of exactly `seconds`.

  Whatever does not fit is cut after the last phoneme that does, with a short
  fade; its phonemes are dropped too.

  Args:
    utterances: Speech objects.
    seconds: length of the track.
    lead: silence before the first, in seconds.
    pause: silence between two, in seconds.
  """
  samples_S = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
  phonemes, at = [], round(lead * SAMPLE_RATE)
  for speech in utterances:
    offset = at / SAMPLE_RATE
    moved = [
      Phoneme(p.start + offset, p.end + offset, p.ipa) for p in speech.phonemes
    ]
    fitting = [p for p in moved if p.end <= seconds - 0.05]
    phonemes += fitting
    piece_S = speech.samples_S
    if len(fitting) < len(moved):
      end = fitting[-1].end if fitting else offset
      piece_S = piece_S[: round((end - offset) * SAMPLE_RATE)].copy()
      fade = min(len(piece_S), SAMPLE_RATE // 50)
      piece_S[len(piece_S) - fade :] *= np.linspace(1, 0, fade)
    piece_S = piece_S[: max(0, len(samples_S) - at)]
    samples_S[at : at + len(piece_S)] = piece_S
    at += len(piece_S) + round(pause * SAMPLE_RATE)
    if len(fitting) < len(moved):
      break
  return Speech(samples_S, tuple(phonemes))
