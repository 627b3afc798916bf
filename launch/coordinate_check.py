"""Checks that activations keep their size when a model grows.

example:
  python -m launch.coordinate_check --config configs/demo.py \\
    --widths 64,128,256,512 --out runs/coordinates

Takes a few train steps at every width on random numbers, in standard and in
maximal-update parametrisation (run.optimizer.base_width; here the first width).
DIR gets coordinates.png and coordinates.json. Ends with status 1 if an
activation's size, or its change, grows or falls by more than width to the power
of 0.1 in maximal-update parametrisation.
"""

import dataclasses

from absl import flags

from eartalk_jax import recipes
from eartalk_jax.config import from_config
from eartalk_jax.counting import counting
from eartalk_jax.files import write_json
from eartalk_jax.scaling import coordinate_plot, coordinates
from eartalk_jax.training.train_config import TrainConfig
from launch import configured, out_flag, widths

_STEPS = flags.DEFINE_integer(
  "steps", 6, "Steps to take.", lower_bound=1, upper_bound=10**6
)
_SEEDS = flags.DEFINE_integer(
  "seeds",
  3,
  "Initial values that are averaged over.",
  lower_bound=1,
  upper_bound=10**6,
)


def main(config, workdir):
  """The command; returns its exit status."""
  del workdir  # nothing is trained
  sizes = widths.widths()
  config = from_config(TrainConfig, config)
  with widths.out() as out:
    verdicts = _check(config, sizes, out)
  return _tell(verdicts, out)


def _check(config, sizes, out):
  """Measures and writes to the folder `out`: {activation: its slopes}."""
  # The first steps are the check: no warm-up, no fall.
  optimizer = dataclasses.replace(
    config.run.optimizer, warmup_steps=0, decay="constant", decay_steps=0
  )
  with counting("coordinate check", len(sizes), "widths") as advance:
    found = coordinates.measure(
      recipes.of(config.recipe.kind),
      config.model,
      optimizer,
      sizes,
      _STEPS.value,
      range(_SEEDS.value),
      advance,
    )
  slopes = coordinates.slopes(sizes, found)
  judged = coordinates.judged(config.model)
  verdicts = {
    name: {kind: slopes[kind][path][what] for kind in coordinates.KINDS}
    for name, (path, what) in judged.items()
  }
  coordinate_plot.draw(found, sizes, judged, out / "coordinates.png")
  write_json(
    out / "coordinates.json",
    {
      "widths": sizes,
      "steps": _STEPS.value,
      "seeds": _SEEDS.value,
      "peak_lr": optimizer.peak_lr,
      "matrices": optimizer.matrices,
      "judged": verdicts,
      "slopes": slopes,
    },
  )
  return verdicts


def _tell(verdicts, out):
  print("slope against width    standard  maximal update")
  for name, found in verdicts.items():
    print(f"{name:23}{found['standard']:+8.2f}{found['mup']:+16.2f}")
  print(f"{out}/coordinates.png, {out}/coordinates.json")
  steep = [
    name
    for name, found in verdicts.items()
    if not abs(found["mup"]) <= coordinates.FLAT  # or NaN
  ]
  if steep:
    print(f"not flat within {coordinates.FLAT}: {', '.join(steep)}")
  return int(bool(steep))


if __name__ == "__main__":
  for module in (configured, widths, out_flag):
    flags.adopt_module_key_flags(module)  # so that --help shows them
  configured.run(main, alone=True)
