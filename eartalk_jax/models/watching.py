"""What modules return while a loss is computed, for who studies activations."""

import flax.linen as nn


def watched(loss_fn, key):
  """The loss with a metric `activations`: what every module returns.

  Its noise is always the same. Modules in the scan over depth are left out.
  """

  def watched_loss(params, frozen, batch, _):
    seen = {}

    def watch(call, args, kwargs, context):
      out = call(*args, **kwargs)
      path = context.module.path
      if context.method_name == "__call__" and path[:2] != (
        "backbone",
        "layers",
      ):
        seen["/".join(path)] = out
      return out

    with nn.intercept_methods(watch):
      loss, _ = loss_fn(params, frozen, batch, key)
    return loss, {"activations": seen}

  return watched_loss
