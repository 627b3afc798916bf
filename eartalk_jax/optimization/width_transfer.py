"""Width transfer: a rate tuned on a narrow model serves wider ones.

The maximal-update parametrisation (arXiv 2203.03466, 2310.17813): whatever the
width, activations begin as large and a step changes them as much. How far an
axis has grown is read off the shapes: those of a model over those of the same
model at its base widths. Let a matrix sum over i times as much as the base's,
make o times as much, and have a longer side that is m times as long. Then the
optimizer's updates are multiplied by

                      Adam    Muon
  input,  i = 1       1       1
  hidden, i = o       1 / i   1 / sqrt(i)
  output, o = 1       1 / i   1 / i
  any                 1 / i   sqrt(o / i) / sqrt(m)

Adam's updates have entries of one size and one sign along an activation, so
they add up over all that is summed. Muon's are orthogonal, with entries as
large: as maps they are sqrt(m) times as large, and shall be sqrt(o / i) times.
Whatever is no matrix (biases, positions, learned tokens) stays as it is.

Initial values stay as they are, too. Those of inner matrices suit every width,
and outputs begin with zeros. What reduces a growing width to a few numbers that
go on from there, the modulations' bottleneck and the weights of the patterns,
would begin 1 / sqrt(i) times as large by the letter; but then wide models begin
with dead bottlenecks, and measured worse than those numbers' slow growth.

Models should grow by the number of their heads, not by their width (as
`with_widths` makes them): then nothing changes in attention. Weight decay takes
the same share of a matrix in a step at every width, rate * weight_decay, and so
acts over as many steps.
"""

import dataclasses
import math

import jax

from eartalk_jax import heads
from eartalk_jax.errors import UserError
from eartalk_jax.optimization.optimizer import muon_takes, summed_and_made
from eartalk_jax.trees import path_name


def with_widths(cfg, width, head_width):
  """A TalkerConfig of other widths; heads stay as wide as they are.

  Raises:
    UserError: a width is not a multiple of its heads' width.
  """
  counts = _heads(cfg, width, ""), _heads(cfg.head, head_width, "head.")
  return _resized(cfg, (width, head_width), counts)


def in_proportion(cfg, width):
  """A TalkerConfig whose head grows as its backbone does, to that width.

  Raises:
    UserError: as `with_widths`.
  """
  return with_widths(cfg, width, width * cfg.head.width // cfg.width)


def _heads(part, width, name):
  each = part.width // part.heads
  if width < 1 or width % each:
    raise UserError(
      f"config: model.{name}width {width} is not a multiple of {each}, the "
      "width of a head, which stays the same while a model grows; choose one"
    )
  return width // each


def _resized(cfg, widths, counts):
  """With other widths and heads of backbone and head, and their denoiser's."""
  head = heads.of(cfg.head).resized(
    cfg.head, widths[1], counts[1], cfg.head.depth, unit=1
  )
  return dataclasses.replace(cfg, width=widths[0], heads=counts[0], head=head)


def base_of(cfg, optimizer):
  """A TalkerConfig with the matrices that a model has at its base widths.

  Its heads do not matter: products sum over all of them, or make all of them.

  Raises:
    UserError: there is no model of those widths.
  """
  widths = optimizer.base_width, optimizer.base_head_width
  try:
    return _resized(cfg, widths, (1, 1))
  except ValueError as error:
    raise UserError(
      f"config: run.optimizer.base_width={widths[0]}, base_head_width="
      f"{widths[1]}: {error}; choose even widths"
    ) from error


def update_multipliers(shapes, base_shapes, matrices):
  """What the updates of a model that has grown are multiplied by.

  Args:
    shapes: of its parameters.
    base_shapes: of those of the model at its base widths.
    matrices: "adam" or "muon", as in OptimizerConfig.

  Returns:
    A number for every parameter.

  Raises:
    UserError: a parameter grew along several axes and is no matrix that the
      optimizer knows.
  """

  def multiplier(path, leaf, base):
    return _multiplier(path_name(path), leaf, base, matrices)

  return jax.tree.map_with_path(multiplier, shapes, base_shapes)


def _multiplier(name, leaf, base, matrices):
  axes = summed_and_made(name)
  if axes is None:
    grown = [a != b for a, b in zip(leaf.shape, base.shape, strict=True)]
    if sum(grown) > 1 and not name.endswith("bias"):
      raise UserError(
        f"no rule of width transfer for the parameter {name} {leaf.shape}; add "
        "its matrix to the table in eartalk_jax/optimization/optimizer.py"
      )
    return 1.0
  summed, made = (_size(leaf, part) for part in axes)
  base_summed, base_made = (_size(base, part) for part in axes)
  i, o = summed / base_summed, made / base_made
  if matrices == "muon" and muon_takes(name, leaf):
    m = max(summed, made) / max(base_summed, base_made)
    return math.sqrt(o / i / m)
  return 1 / i


def _size(leaf, axes):
  return math.prod(leaf.shape[axis] for axis in axes)
