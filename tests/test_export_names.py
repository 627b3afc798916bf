"""Where parameters go in PyTorch, and files larger than memory."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from eartalk_jax.export import names
from eartalk_jax.export.writing import write_weights

PATHS = {
  "backbone/layers/attention/query/kernel": (4, 6, 2, 3),
  "backbone/last/merge/out/kernel": (2, 3, 5),
  "backbone/last/attention/key/bias": (2, 3),
  "conditions/hearing/conv_0/kernel": (3, 4, 5),
  "conditions/type": (2, 6),
  "decoder/block_1/mlp_norm/scale": (6,),
  "guess/kernel": (4, 4),
  "patterns": (8, 4, 6),
}


def test_names_are_those_of_torch_modules():
  found = [
    name
    for path, shape in PATHS.items()
    for name, _ in names.split_layers(path, shape, depth=5)
  ]
  assert found == [
    *(f"layers.{i}.attention.query.weight" for i in range(4)),
    "layers.4.merge.out.weight",
    "layers.4.attention.key.bias",
    "conditions.hearing.conv.0.weight",
    "conditions.signal_type",
    "decoder.block.1.mlp_norm.weight",
    "guess.weight",
    "patterns",
  ]


@pytest.mark.parametrize("path", PATHS)
def test_arrays_come_back_bit_by_bit(path):
  shape = PATHS[path][1:] if "/layers/" in path else PATHS[path]
  array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
  there = names.to_torch(path, array)
  assert there.shape == names.torch_shape(path, shape)
  np.testing.assert_array_equal(names.from_torch(path, there, shape), array)


def test_a_kernel_is_what_torch_multiplies_by():
  rng = np.random.default_rng(0)
  x_BD, kernel_DHK = rng.normal(size=(3, 6)), rng.normal(size=(6, 2, 3))
  weight = names.to_torch("query/kernel", kernel_DHK)
  expected = np.einsum("BD,DHK->BHK", x_BD, kernel_DHK).reshape(3, 6)
  np.testing.assert_allclose(x_BD @ weight.T, expected)
  x_BHK, kernel_HKD = rng.normal(size=(3, 2, 3)), rng.normal(size=(2, 3, 5))
  weight = names.to_torch("merge/out/kernel", kernel_HKD)
  expected = np.einsum("BHK,HKD->BD", x_BHK, kernel_HKD)
  np.testing.assert_allclose(x_BHK.reshape(3, 6) @ weight.T, expected)


@pytest.mark.parametrize("limit", [40, 90, 10**9])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_library_reads_what_was_written(tmp_path, limit, dtype):
  rng = np.random.default_rng(0)
  arrays = {
    f"a{i}": rng.normal(size=(i + 1, 5)).astype(np.float32).T for i in range(4)
  }
  shapes = {name: array.shape for name, array in arrays.items()}
  write_weights(tmp_path, shapes, iter(arrays.items()), dtype, limit)
  files = sorted(tmp_path.glob("*.safetensors"))
  found = {name: file for file in files for name in load_file(file)}
  if len(files) > 1:
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["weight_map"] == {k: v.name for k, v in found.items()}
    stored = sum(file.stat().st_size for file in files)
    assert 0 < stored - index["metadata"]["total_size"] < 1000 * len(files)
  assert (len(files) == 1) == (limit == 10**9)
  for name, array in arrays.items():
    there = load_file(found[name])[name]
    assert str(there.dtype) == dtype
    np.testing.assert_array_equal(there, array.astype(there.dtype))


def test_a_tensor_out_of_its_turn_is_not_written_under_another_name(tmp_path):
  arrays = iter([("b", np.zeros(2, np.float32))])
  with pytest.raises(ValueError, match="b"):
    write_weights(tmp_path, {"a": (2,)}, arrays, "float32")
