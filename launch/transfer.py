"""Shows where the best learning rate is at several widths.

example, after `make demo`:
  python -m launch.transfer --config configs/demo.py --widths 64,128,256,512 \\
    --rates 2e-3,4e-3,8e-3,16e-3 --config.data.tokens=runs/demo/tokens/train \\
    --held_out runs/demo/tokens/held_out --out runs/transfer

`launch.tokenize` makes the held-out tokens of the held-out frames.

Trains every width at every rate for a few steps (run.steps), in standard and in
maximal-update parametrisation (run.optimizer.base_width; here the first width,
where both are one), on the same batches and noise. Each run is judged by its
loss on 8 batches of the held-out clips, the same for all. A head keeps its
width: model.width over model.heads as configured. DIR gets transfer.png,
transfer.json and cells/. Run it again to continue: runs that are done are not
done again.
"""

import dataclasses
import itertools
import math

from absl import flags

from data_pipelines.batches import TalkerBatches
from eartalk_jax import recipes
from eartalk_jax.config import from_config, to_dict
from eartalk_jax.counting import counting
from eartalk_jax.documents import read_json
from eartalk_jax.errors import UserError
from eartalk_jax.files import sha256_of_json, write_json
from eartalk_jax.jobs.talker import open_split
from eartalk_jax.optimization.width_transfer import in_proportion
from eartalk_jax.scaling import transfer, transfer_plot
from eartalk_jax.scaling.coordinates import KINDS
from eartalk_jax.training.compilation import use_compile_cache
from eartalk_jax.training.train_config import TrainConfig
from launch import configured, out_flag, widths

_RATES = flags.DEFINE_list(
  "rates", ["1e-3", "2e-3", "4e-3", "8e-3"], "Peak learning rates, ascending."
)
_HELD_OUT = flags.DEFINE_string(
  "held_out", None, "Token dataset of other clips, to judge the runs by."
)
_JUDGED = 8  # batches


def main(config, workdir):
  """The command."""
  del workdir  # --out is it
  sizes, rates = widths.widths(), parse_rates(_RATES.value)
  if not _HELD_OUT.value:
    raise UserError("--held_out is needed; see --help")
  use_compile_cache()
  config = from_config(TrainConfig, config)
  reads = [config.tokenizer, config.data.tokens, _HELD_OUT.value]
  with widths.out(reads) as out:
    _compare(config, sizes, rates, out)


def _compare(config, sizes, rates, out):
  """Runs all that is not done yet, and writes and tells what came of it."""
  losses = measure(config, _HELD_OUT.value, sizes, rates, out / "cells")
  found = transfer.summary(sizes, rates, losses)
  write_json(
    out / "transfer.json",
    {
      "widths": sizes,
      "rates": rates,
      "steps": config.run.steps,
      "batch_size": config.run.batch_size,
      "matrices": config.run.optimizer.matrices,
      "losses": {kind: _finite(losses[kind]) for kind in KINDS},
      **found,
    },
  )
  transfer_plot.draw(sizes, rates, losses, out / "transfer.png")
  _tell(sizes, found)
  print(f"{out}/transfer.png, {out}/transfer.json")


def _batches(config, dataset):
  """The batches of a token dataset, as training takes them."""
  return TalkerBatches(
    dataset,
    config.data,
    config.model,
    config.run.batch_size,
    config.run.seed,
  )


def measure(config, held_out, sizes, rates, folder):
  """{kind: [widths, rates] losses}; every run leaves a file in `folder`.

  Raises:
    UserError: datasets do not fit the config or are one, or a file is damaged.
  """
  _check_rates(rates, config.run.optimizer)
  for width in sizes:
    in_proportion(config.model, width)  # or it is refused
  config, _, *datasets = open_split(config, held_out, "--held_out")
  run, model = config.run, config.model
  recipe = recipes.of(config.recipe.kind)
  talkers = [
    transfer.parametrised(recipe, model, run.optimizer, width, sizes[0])
    for width in sizes
  ]
  batches, judged = (_batches(config, dataset) for dataset in datasets)
  data = {"data": batches.fingerprint, "held_out": judged.fingerprint}
  settings = to_dict({"model": to_dict(model), "run": to_dict(run)})
  settings["run"]["optimizer"]["peak_lr"] = None  # that is what is tried
  fingerprint = sha256_of_json(settings | data | {"base_width": sizes[0]})
  taken = None
  losses = {kind: [[0.0] * len(rates) for _ in sizes] for kind in KINDS}
  total = len(sizes) * len(rates) * len(KINDS)
  with counting("transfer", total, "runs") as advance:
    for row, width in enumerate(sizes):
      trainer = None
      for kind, (column, rate) in itertools.product(KINDS, enumerate(rates)):
        path = folder / f"{kind}-{width}-{rate:g}.json"
        loss = _kept(path, fingerprint)
        if loss is None and kind == "mup" and width == sizes[0]:
          loss = losses["standard"][row][column]  # the same by definition
        if loss is None:
          if taken is None:
            taken = (
              transfer.take(batches.iterate(0), run.steps),
              transfer.take(judged.iterate(0), _JUDGED),
            )
          trainer = trainer or transfer.Trainer(*talkers[row], *taken)
          loss = trainer.run(kind, rate, run.seed)
        _keep(path, fingerprint, loss)
        losses[kind][row][column] = loss
        advance()
  return losses


def _check_rates(rates, optimizer):
  """Raises UserError for a rate that an optimizer cannot have."""
  for rate in rates:
    try:
      dataclasses.replace(optimizer, peak_lr=rate)
    except ValueError as error:
      raise UserError(f"--rates: {error}") from error


def _keep(path, fingerprint, loss):
  finite = math.isfinite(loss)
  cell = {"loss": loss if finite else None, "diverged": not finite}
  write_json(path, {"settings": fingerprint, **cell})


def _kept(path, fingerprint):
  """The loss of a run that was done before, with the same settings.

  Raises:
    UserError: what is kept of it is damaged.
  """
  if not path.exists():
    return None
  remedy = "delete it and run the command again"
  kept = read_json(path, remedy)
  if not isinstance(kept, dict) or kept.keys() != {
    "settings",
    "diverged",
    "loss",
  }:
    raise UserError(f"{path} holds no run of launch.transfer; {remedy}")
  if kept["settings"] != fingerprint:
    return None
  return math.nan if kept["diverged"] else float(kept["loss"])


def _finite(rows):
  return [[x if math.isfinite(x) else None for x in row] for row in rows]


def _tell(sizes, found):
  print("best rate of width " + "".join(f"{width:>10}" for width in sizes))
  for kind in KINDS:
    words = [
      f"{best['rate']:10.2g}" if best else "         -"
      for best in found[kind]["best"]
    ]
    print(f"{kind:19}" + "".join(words))
    edges = [
      str(width)
      for width, best in zip(sizes, found[kind]["best"], strict=True)
      if best and not best["inside"]
    ]
    if edges:
      print(f"  at the edge of the rates tried: width {', '.join(edges)}")
  drift = {
    kind: "?" if (power := found[kind]["drift"]) is None else f"{power:+.2f}"
    for kind in KINDS
  }
  print(
    f"the best rate goes with width to the power of {drift['standard']} "
    f"(standard), {drift['mup']} (maximal-update)"
  )


def parse_rates(words):
  """Ascending positive numbers; raises UserError otherwise."""
  try:
    rates = [float(word) for word in words]
  except ValueError as error:
    raise UserError(f"--rates: {error}") from error
  positive = all(0 < rate < math.inf for rate in rates)
  if len(rates) < 3 or not positive or sorted(set(rates)) != rates:
    raise UserError("--rates needs three positive rates, the smallest first")
  return rates


if __name__ == "__main__":
  for module in (configured, widths, out_flag):
    flags.adopt_module_key_flags(module)  # so that --help shows them
  configured.run(main, alone=True)
