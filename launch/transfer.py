"""Shows where the best learning rate is at several widths.

example, after `make demo`:
  python -m launch.transfer --config configs/demo.py --widths 64,128,256,512 \\
    --rates 2e-3,4e-3,8e-3,16e-3 --config.data.tokens=runs/demo/tokens/train \\
    --out runs/transfer

Trains every width at every rate for a few steps (run.steps), in standard and in
maximal-update parametrisation (run.optimizer.base_width; here the first width,
where both are one), on the same batches and noise. Each run is judged by its
loss on batches that none of them saw. A head keeps its width: model.width over
model.heads as configured. DIR gets transfer.png, transfer.json and cells/. Run
it again to continue: runs that are done are not done again.
"""

import itertools
import json
import math

from absl import flags

from data_pipelines.batches import TalkerBatches
from data_pipelines.shards import open_dataset
from eartalk_jax.config import from_config, to_dict
from eartalk_jax.counting import counting
from eartalk_jax.errors import UserError
from eartalk_jax.files import sha256_of_json, write_json
from eartalk_jax.scaling import transfer, transfer_plot
from eartalk_jax.scaling.coordinates import KINDS
from eartalk_jax.training.compilation import use_compile_cache
from launch import configured, out_flag, widths
from launch.train import TrainConfig

_RATES = flags.DEFINE_list(
  "rates", ["1e-3", "2e-3", "4e-3", "8e-3"], "Peak learning rates, ascending."
)
_HELD_OUT = 8  # batches


def main(config, workdir):
  """The command."""
  del workdir  # --out is it
  out, sizes = widths.out(), widths.widths()
  rates = parse_rates(_RATES.value)
  use_compile_cache()
  config = from_config(TrainConfig, config)
  (out / "cells").mkdir(exist_ok=True)
  losses = measure(config, sizes, rates, out / "cells")
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


def measure(config, sizes, rates, folder):
  """{kind: [widths, rates] losses}; every run leaves a file in `folder`."""
  dataset = open_dataset(config.data.tokens, "tokens")
  run, model = config.run, config.model
  batches = TalkerBatches(
    dataset, config.data, model.controls, model.audio, run.batch_size, run.seed
  )
  settings = to_dict({"model": to_dict(model), "run": to_dict(run)})
  settings["run"]["optimizer"]["peak_lr"] = None  # that is what is tried
  settings |= {"data": batches.fingerprint, "base_width": sizes[0]}
  fingerprint = sha256_of_json(settings)
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
            stream = batches.iterate(0)
            taken = transfer.take(stream, run.steps, _HELD_OUT)
          trainer = trainer or transfer.Trainer(
            *transfer.parametrised(model, run.optimizer, width, sizes[0]),
            *taken,
          )
          loss = trainer.run(kind, rate, run.seed)
        _keep(path, fingerprint, loss)
        losses[kind][row][column] = loss
        advance()
  return losses


def _keep(path, fingerprint, loss):
  finite = math.isfinite(loss)
  cell = {"loss": loss if finite else None, "diverged": not finite}
  write_json(path, {"settings": fingerprint, **cell})


def _kept(path, fingerprint):
  """The loss of a run that was done before, with the same settings."""
  if not path.is_file():
    return None
  kept = json.loads(path.read_text())
  if kept["settings"] != fingerprint:
    return None
  return math.nan if kept["diverged"] else kept["loss"]


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
