"""Trains a talker, or goes on where an earlier run stopped.

example:
  python -m launch.train --config configs/demo.py --workdir runs/demo/talker \\
    --config.data.tokens=runs/demo/tokens/train --config.run.steps=2000

WORKDIR gets checkpoints/, config.json, tokenizer/, metrics.jsonl and
tensorboard/. Ctrl-C or SIGTERM saves first; run the same command to continue.
"""

from absl import flags

from eartalk_jax.jobs.talker import train
from eartalk_jax.telemetry.profiling import parse_steps
from launch import configured

_PROFILE = flags.DEFINE_string(
  "profile",
  None,
  "Steps to trace into WORKDIR/profile, such as steps=20..23.",
)


def main(config, workdir):
  """The command."""
  train(config, workdir, parse_steps(_PROFILE.value))


if __name__ == "__main__":
  flags.adopt_module_key_flags(configured)  # so that --help shows them
  configured.run(main)
