"""What each signal does to a stream, beside what chance does.

  python -m benchmarks.controls --checkpoint runs/demo/talker \
    --data runs/demo/frames/held_out

Each person streams with speech and all controls; at frame 25 one of them is
changed: a continuous control to its negative (blink to 1 minus it), a category
to the next one, the audio to silence, or nothing is given any more ("cleared").
Printed is the mean absolute change of pixels before that frame, which must be
0, and in the 25 frames after it, beside the change that another seed makes.
"""

import argparse

import numpy as np

from data_pipelines.shards import open_dataset
from eartalk_jax.evaluation.held_out import load_clips
from eartalk_jax.evaluation.rollouts import known_controls
from eartalk_jax.generate import load_generator
from launch import cli

_AT, _FRAMES, _PEOPLE = 25, 50, 8


def _changed(spec, value_BTK):
  if spec.kind == "categorical":
    return (value_BTK + 1) % spec.size
  return 1 - value_BTK if spec.name == "blink" else -value_BTK


def _video(generator, heard_BTAF, controls, portraits_BYX3, given=None, seed=0):
  rows = len(portraits_BYX3)
  chunks = generator.generate(
    portraits_BYX3,
    heard_BTAF,
    controls,
    given,
    seeds=range(seed * rows, (seed + 1) * rows),
  )
  return np.concatenate(list(chunks), axis=1).astype(np.float32)


def _late(changed_BT, plain_BT):
  """The change from frame _AT on."""
  return np.concatenate([plain_BT[:, :_AT], changed_BT[:, _AT:]], axis=1)


def main(argv=None):
  """Prints the table."""
  parser = argparse.ArgumentParser(
    prog="python -m benchmarks.controls",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument("--checkpoint", required=True, help="a run of the talker")
  parser.add_argument("--data", required=True, help="held-out frames dataset")
  args = parser.parse_args(argv)
  generator = load_generator(args.checkpoint)
  held_out = open_dataset(args.data, "frames")
  tracks = list(held_out.manifest["track_sizes"])
  clips = load_clips(
    held_out.source, generator.speech, tracks, _PEOPLE, _FRAMES, seed=0
  )
  portraits_BYX3 = np.stack([clip.portrait_YX3 for clip in clips])
  heard_BTAF = np.stack([clip.features_TAF for clip in clips])
  tracks = [known_controls(generator, clip) for clip in clips]
  controls = {name: np.stack([t[name] for t in tracks]) for name in tracks[0]}

  def video(heard_BTAF=heard_BTAF, controls=controls, **changes):
    return _video(generator, heard_BTAF, controls, portraits_BYX3, **changes)

  plain = video()
  videos = {"another seed": video(seed=1)}
  silence = np.broadcast_to(generator.speech.silence_AF, heard_BTAF.shape)
  # The audio of frame t reaches frames from t minus the look-ahead on.
  ahead = generator.config.audio.ahead
  silent_BTAF = np.concatenate(
    [heard_BTAF[:, : _AT + ahead], silence[:, _AT + ahead :]], axis=1
  )
  videos["audio: silence"] = video(silent_BTAF)
  for spec in generator.config.controls:
    value_BTK = controls[spec.name]
    other = _late(_changed(spec, value_BTK), value_BTK)
    videos[f"{spec.name}: changed"] = video(
      controls={**controls, spec.name: other}
    )
    given_BT = np.broadcast_to(np.arange(_FRAMES) < _AT, value_BTK.shape[:2])
    videos[f"{spec.name}: cleared"] = video(given={spec.name: given_BT})
  chance = np.abs(videos["another seed"] - plain)[:, _AT:].mean()
  print(
    f"{'':20}{'before':>10}{'after':>10}{'over chance':>14}   (grey levels)"
  )
  for name, frames in videos.items():
    apart = np.abs(frames - plain)
    before, after = apart[:, :_AT].mean(), apart[:, _AT:].mean()
    print(f"{name:20}{before:10.3f}{after:10.3f}{after / chance:14.1f}")


if __name__ == "__main__":
  cli.run(main)
