"""Convolutions over time and space on this machine: the two forms, per shape.

  python -m benchmarks.convolutions [--json convolutions.json]

Both forms of `layers.convolutions.conv3d` in one run, in turn: the operation in
three dimensions, and the sum of three convolutions over space that a CPU gets.
`ratio` is time of the first over time of the second. Shapes are those of a step
of Wan's and LTX's autoencoders at 64 to 256 px: two frames of the past, then
the new ones. About two minutes on two cores.
"""

import argparse

import jax
import jax.numpy as jnp

from benchmarks.timing import in_turn
from eartalk_jax import files
from eartalk_jax.layers.convolutions import plain, summed
from eartalk_jax.outputs import check_file

# (new frames, rows and columns, inputs, outputs)
_SHAPES = (
  (4, 64, 96, 96),
  (4, 128, 96, 96),
  (4, 64, 192, 192),
  (4, 128, 96, 3),
  (2, 32, 192, 384),
  (2, 32, 384, 384),
  (1, 16, 384, 384),
  (1, 8, 384, 384),
  (8, 32, 128, 128),
  (2, 8, 512, 512),
)
_PAST, _KERNEL, _PAD = 2, 3, ((1, 1), (1, 1))


def row(frames, side, inputs, outputs, rounds):
  """{what: number} of one shape."""
  keys = jax.random.split(jax.random.key(0))
  shape = (1, _PAST + frames, side, side, inputs)
  x_BTYXI = jax.random.normal(keys[0], shape)
  kernel_tyxIO = jax.random.normal(keys[1], (_KERNEL,) * 3 + (inputs, outputs))
  calls, made = {}, {}
  for name, form in (("3-D", plain), ("2-D", summed)):
    run = jax.jit(lambda x, kernel, form=form: form(x, kernel, (1, 1), _PAD))
    calls[name] = lambda run=run: run(x_BTYXI, kernel_tyxIO)
    made[name] = run(x_BTYXI, kernel_tyxIO)
  seconds = in_turn(calls, rounds)
  work = 2 * frames * side**2 * _KERNEL**3 * inputs * outputs
  scale = jnp.abs(made["2-D"]).max()
  return {
    "frames": frames,
    "side": side,
    "inputs": inputs,
    "outputs": outputs,
    "gflop": work / 1e9,
    "gflops_3d": work / seconds["3-D"] / 1e9,
    "gflops_2d": work / seconds["2-D"] / 1e9,
    "ratio": seconds["3-D"] / seconds["2-D"],
    "difference": float(jnp.abs(made["3-D"] - made["2-D"]).max() / scale),
  }


def main():
  """Prints the table."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--json", help="file for the numbers")
  parser.add_argument("--rounds", type=int, default=5)
  args = parser.parse_args()
  if args.json:
    check_file(args.json, "--json")
  print(
    "frames  side   in  out   GFLOP  3-D GF/s  2-D GF/s  ratio  difference",
    flush=True,
  )
  rows = []
  for shape in _SHAPES:
    r = row(*shape, args.rounds)
    print(
      f"{r['frames']:6d} {r['side']:5d} {r['inputs']:4d} {r['outputs']:4d} "
      f"{r['gflop']:7.1f} {r['gflops_3d']:9.1f} {r['gflops_2d']:9.1f} "
      f"{r['ratio']:6.2f} {r['difference']:11.1e}",
      flush=True,
    )
    rows.append(r)
  if args.json:
    files.write_json(args.json, {"device": str(jax.devices()[0]), "rows": rows})


if __name__ == "__main__":
  main()
