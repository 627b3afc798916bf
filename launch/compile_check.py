"""Proves that a config compiles and fits, before booking.

example:
  python -m launch.compile_check --config configs/ear_1b.py \\
    --topology v5p:4x4x4 --json proof.json

Compiles the train step, and the sampler's step for one device, on this machine
and without an accelerator, for TPUs with their own compiler (pip install
'eartalk-jax[aot]'). --slices 4 joins four such slices. A GPU cluster
(--topology h100:8x8, nodes x GPUs) is compiled by the CPU's compiler on
simulated devices: collectives are real, memory is not. Ends with status 1 if
the train step, a streamed step or an encoder does not fit, and with 2 if that
is not known: a mistake, or a compiler that crashed, whose last word is told.

--tokenizer wan2.1 adds the streamed step with its decoder, and the step that
encodes clips; --speech hubert-large-ls960-ft the windows of speech. No weights
are needed: what was published is known by name.
"""

import contextlib
import os
import pathlib

from eartalk_jax.aot.environment import ENVIRONMENT

os.environ.update(ENVIRONMENT)  # before jax starts

from absl import flags  # noqa: E402
from ml_collections import config_flags  # noqa: E402

from eartalk_jax import speech, tokenizers  # noqa: E402
from eartalk_jax.aot import report  # noqa: E402
from eartalk_jax.aot.encoder_report import (  # noqa: E402
  encoder_text,
  stream_text,
)
from eartalk_jax.aot.encoders import Encoders, published  # noqa: E402
from eartalk_jax.aot.proof import proof  # noqa: E402
from eartalk_jax.config import from_config  # noqa: E402
from eartalk_jax.errors import UserError  # noqa: E402
from eartalk_jax.files import write_json  # noqa: E402
from eartalk_jax.outputs import check_file  # noqa: E402
from eartalk_jax.telemetry.progress import working  # noqa: E402
from eartalk_jax.training.train_config import TrainConfig  # noqa: E402
from launch import configured  # noqa: E402

_TOPOLOGY = flags.DEFINE_string(
  "topology", None, "CHIP:SIZES, such as v5p:4x4x4 or h100:8x8."
)
_SLICES = flags.DEFINE_integer(
  "slices",
  1,
  "TPU slices of that topology.",
  lower_bound=1,
  upper_bound=4096,
)
_TOKENIZER = flags.DEFINE_string(
  "tokenizer",
  None,
  "What decodes and encodes: a published one by name "
  f"({', '.join(published(tokenizers.KINDS))}) or the folder of one; without "
  "it that of the config, if it is there.",
)
_SPEECH = flags.DEFINE_string(
  "speech",
  None,
  "What hears: a published encoder by name "
  f"({', '.join(published(speech.KINDS))}) or the folder of one.",
)
_STREAMS = flags.DEFINE_integer(
  "streams", 1, "Streams on a device.", lower_bound=1, upper_bound=4096
)
_JSON = flags.DEFINE_string("json", None, "File that gets the numbers.")
_WITHOUT = "left out: {}; --{} NAME|FOLDER adds it"
# What a device holds at a time, besides the train step.
_ON_ONE_DEVICE = {
  "frame": "the model of its streams",
  "stream": "model, decoder and states of its streams",
  "tokenize": "the encoder of pictures",
  "speech": "the encoder of speech",
}


def main(config, workdir):
  """The command; returns its exit status."""
  del workdir  # nothing is kept
  if _TOPOLOGY.value is None:
    raise UserError("--topology is needed; see --help")
  config = from_config(TrainConfig, config)
  if _JSON.value is not None:
    read = config_flags.get_config_filename(flags.FLAGS["config"])
    check_file(_JSON.value, "--json", [read])
  encoders = Encoders(_tokenizer(config), _SPEECH.value or "", _STREAMS.value)
  parts = proof(config, _TOPOLOGY.value, _SLICES.value, encoders)
  with contextlib.closing(parts):
    numbers = _tell(parts, encoders)
  if _JSON.value is not None:
    write_json(_JSON.value, numbers)
  if not numbers["fits"]:
    print(f"does not fit: {numbers['knob']}")
  for name, what in _ON_ONE_DEVICE.items():
    if numbers.get(name) and not numbers[name]["fits"]:
      numbers["fits"] = False
      print(f"does not fit: a device cannot hold {what}")
  return int(not numbers["fits"])


def _tokenizer(config):
  """The one to prove, "" for none."""
  if _TOKENIZER.value is not None:
    return _TOKENIZER.value
  return config.tokenizer if pathlib.Path(config.tokenizer).is_dir() else ""


def _tell(parts, encoders):
  """Prints a proof's parts as they come; returns all of them as one report."""
  streams = encoders.streams
  many = "one stream" if streams == 1 else f"{streams} streams"
  with working(f"asking the compiler for {_TOPOLOGY.value}"):
    devices = next(parts)
  with working(f"compiling the train step for {devices} devices"):
    numbers = next(parts)
  print(report.text(numbers, "train step"), flush=True)
  with working("compiling the step of a streamed frame for one device"):
    numbers["frame"] = next(parts)
  print(report.text(numbers["frame"], f"streamed frame, {many}"), flush=True)
  numbers |= _tell_encoders(parts, encoders)
  numbers["assumptions"] = next(parts)
  print("assumptions")
  for line in numbers["assumptions"]:
    print(f"  - {line}")
  return numbers


def _tell_encoders(parts, encoders):
  """The same of the tokenizer's and the speech encoder's parts."""
  numbers = {}
  if encoders.tokenizer:
    with working("compiling the same step with its decoder"):
      numbers["stream"] = next(parts)
    print(stream_text(numbers["stream"]), flush=True)
    with working("compiling the encoder of pictures for one device"):
      numbers["tokenize"] = next(parts)
    title = f"tokenizing, {encoders.tokenizer}"
    print(encoder_text(numbers["tokenize"], title), flush=True)
  else:
    print(_WITHOUT.format("decoder and encoder of pictures", "tokenizer"))
  if not encoders.speech:
    print(_WITHOUT.format("encoder of speech", "speech"))
    return numbers
  with working("compiling the encoder of speech for one device"):
    numbers["speech"] = next(parts)
  title = f"hearing, {encoders.speech}"
  if numbers["speech"] is None:
    print(f"{title}: no network; hosts compute it, and nothing is compiled")
  else:
    print(encoder_text(numbers["speech"], title), flush=True)
  return numbers


if __name__ == "__main__":
  flags.adopt_module_key_flags(configured)  # so that --help shows them
  configured.run(main, alone=True)
