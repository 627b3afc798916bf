"""A sweep as people read it: its plan, and how far it is."""

from eartalk_jax.scaling.sweep_reading import SAMPLES
from eartalk_jax.telemetry.metrics import read_metrics

# Beyond so many epochs repeated data count for less (arXiv 2305.16264).
_MANY_EPOCHS = 4


def plan_table(sweep):
  """Text: a line for each cell, what it costs, and by which rules."""
  lines = [
    "  cell  name               width depth heads      N    steps  cool-down"
    "       lr  epochs   FLOPs  hours"
  ]
  for number, cell in enumerate(sweep.cells):
    lines.append(
      f"{number:6d}  {cell.name:<19}{cell.width:5d} {cell.depth:5d} "
      f"{cell.heads:5d}  {_count(cell.params):>6}  {cell.steps:7d}  "
      f"{cell.steps - cell.branch:9d}  {cell.lr:7.2g}  {cell.epochs:6.2f}  "
      f"{cell.flops:6.2g}  {cell.hours:5.2g}"
    )
  return "\n".join([*lines, "", *_notes(sweep)])


def _notes(sweep):
  ladder, machine = sweep.settings.ladder, sweep.machine
  spent = sum(cell.spent for cell in sweep.cells)
  alone = sum(cell.flops for cell in sweep.cells)
  hours = sum(cell.hours for cell in sweep.cells)
  run = sweep.config["run"]
  notes = [
    "N: parameters of backbone and head, without embeddings and conditions. "
    "FLOPs: products of a run from scratch, forward and backward.",
    f"rate: {run['optimizer']['peak_lr']:g} x "
    f"({sweep.config['model']['width']} / width)^{ladder.lr_power:g}; batch "
    f"{run['batch_size']} clips of {sweep.config['data']['frames']} latents "
    f"and seed {run['seed']} in all cells; "
    f"{run['optimizer']['warmup_steps']} steps of warm-up, the last "
    f"{ladder.cooldown:.0%} cool down.",
    f"{len(sweep.cells)} cells, {len({c.size for c in sweep.cells})} sizes: "
    f"{spent:.3g} FLOPs with shared trunks, {alone:.3g} without; "
    f"{hours:.3g} hours of {machine['devices']} x {machine['name']} at "
    f"{machine['mfu']:.0%} of {machine['peak_flops']:.3g} FLOP/s (assumed), "
    "besides compiling and measuring.",
  ]
  many = [c.name for c in sweep.cells if c.epochs > _MANY_EPOCHS]
  if many:
    notes.append(
      f"warning: {len(many)} cells see their data more than {_MANY_EPOCHS} "
      f"times ({', '.join(many[:3])}{', ...' if len(many) > 3 else ''}): the "
      "law would be that of repeated data"
    )
  return notes


def status_table(sweep):
  """Text: what became of each cell so far."""
  found, lines = sweep.results(), []
  width = max(len(cell.name) for cell in sweep.cells)
  for number, cell in enumerate(sweep.cells):
    result = found.get(cell)
    if result is None:
      told = _progress(sweep, cell)
    elif result["diverged"] is not None:
      told = f"diverged: {result['diverged']}"
    else:
      told = f"done, loss {result['loss']:.5f}"
      if result.get("error") is not None:
        told += f" +- {result['error']:.5f}"
      told += "".join(
        f", {name} {SAMPLES[name].text(value)}"
        for name, value in (result.get("samples") or {}).items()
        if name in SAMPLES and value is not None
      )
    lines.append(f"{number:6d}  {cell.name:<{width}}  {told}")
  diverged = sum(r["diverged"] is not None for r in found.values())
  lines += [
    "",
    f"{len(found)} of {len(sweep.cells)} cells are done, {diverged} of them "
    "diverged",
  ]
  return "\n".join(lines)


def _progress(sweep, cell):
  """What the logs say of a cell without a result."""
  for folder, name in (
    (sweep.folder(cell) / "run", "cool-down"),
    (sweep.trunk(cell), "trunk"),
  ):
    if (folder / "metrics.jsonl").is_file():
      steps = [line["step"] for line in read_metrics(folder)]
      if steps:
        return f"{name}: step {steps[-1]} of {cell.steps}"
  return "waiting"


def _count(number):
  for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
    if number >= size:
      return f"{number / size:.3g} {unit}"
  return str(number)
