"""The tokenizer's parameters and FLOPs, against the model and the compiler."""

import jax
import jax.numpy as jnp
import pytest

from eartalk_jax.hlo import module as hlo
from eartalk_jax.scaling import tokenizer_flops
from eartalk_jax.tokenizers.autoencoder import Autoencoder, TokenizerConfig


@pytest.mark.parametrize(
  "size, width, depths", [(32, 64, (1, 2)), (64, 96, (3, 1))]
)
def test_the_closed_form_is_that_of_the_compiled_program(size, width, depths):
  config = TokenizerConfig(size, 8, 16, width, 2, *depths)
  model = Autoencoder(config)
  pictures = jax.ShapeDtypeStruct((3, size, size, 3), jnp.float32)
  latents = jax.ShapeDtypeStruct((3, *config.latent_shape), jnp.float32)
  params = jax.eval_shape(model.init, jax.random.key(0), pictures)
  counted = tokenizer_flops.parameters(config)
  closed = tokenizer_flops.forward_flops(config)
  for part, method, given in (
    ("encoder", "encode", pictures),
    ("decoder", "decode", latents),
  ):
    leaves = jax.tree.leaves(params["params"][part])
    assert counted[part] == sum(leaf.size for leaf in leaves)

    def run(params, given, method=method):
      return model.apply(params, given, method=method)

    program = jax.jit(run).lower(params, given).compile()
    exact = hlo.analyse(program.as_text(), 1).flops
    assert 3 * closed[part] == pytest.approx(exact, rel=0.01)
