"""One step's gradient from several microbatches, one after another."""

import jax
import jax.numpy as jnp


def differentiate(loss_fn, microbatches):
  """(params, frozen, batch, key) -> ((loss, metrics), gradient).

  As of the whole batch; the gradient is that of the parameters.

  A loss is a mean over items: frames of a talker, where all frames weigh the
  same however many of their tokens are hidden. So microbatches of equal rows
  weigh the same, too, unless the loss says otherwise in `metrics["weight"]`:
  the number of items its mean is over. A microbatch that has none must still
  have a finite mean.

  With `microbatches` = k each is B/k rows, and loss, metrics and gradient are
  the weighted means, `weight` the sum. That is the whole batch's, but for
  rounding, where the loss is a mean and uses no randomness; the keys of
  microbatches are folded from the step's, so their noise is not that of k = 1.

  It saves memory, not traffic: as compiled for CPU devices, each microbatch's
  gradient is summed over the devices by itself.
  """
  whole = jax.value_and_grad(loss_fn, has_aux=True)
  if microbatches == 1:
    return whole

  def weighted(params, frozen, rows, key):
    (loss, metrics), grads = whole(params, frozen, rows, key)
    weight = jnp.asarray(metrics.get("weight", 1.0), jnp.float32)
    means = (loss, metrics), grads
    return weight, jax.tree.map(lambda x: weight * x, means)

  def accumulated(params, frozen, batch, key):
    batch = jax.tree.map(lambda x: _split(x, microbatches), batch)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(
      key, jnp.arange(microbatches)
    )

    def add(total, part):
      return jax.tree.map(jnp.add, total, weighted(params, frozen, *part)), None

    first = jax.tree.map(lambda x: x[0], (batch, keys))
    shapes = jax.eval_shape(weighted, params, frozen, *first)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    (weight, sums), _ = jax.lax.scan(add, zeros, (batch, keys))
    (loss, metrics), grads = jax.tree.map(lambda x: x / weight, sums)
    if "weight" in metrics:
      metrics["weight"] = weight
    return (loss, metrics), grads

  return accumulated


def _split(rows, count):
  """[B ...] -> [count B/count ...]: every count-th row.

  A device holds neighbouring rows, so each microbatch takes some of every
  device's, and none of them moves.
  """
  # Not -1: portraits carry no audio, and nothing tells how often that fits.
  each = rows.shape[0] // count
  return jnp.moveaxis(rows.reshape(each, count, *rows.shape[1:]), 1, 0)
