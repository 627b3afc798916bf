"""The tokenizer object: normalisation, batching, its two files."""

import dataclasses
import json
import pathlib
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from autoencoders import CONFIG, random_params

from configs import tokenizer as real_config
from eartalk_jax import files, tokenizers
from eartalk_jax.config import from_config, to_dict
from eartalk_jax.errors import UserError
from eartalk_jax.tokenizers.autoencoder import Autoencoder, TokenizerConfig
from eartalk_jax.tokenizers.coding import decode, encode
from eartalk_jax.tokenizers.patches import PatchTokenizer, init_params
from eartalk_jax.tokenizers.storing import load_tokenizer, save_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
  mean_C = np.float32([0.5, -1, 0, 2])
  return PatchTokenizer(CONFIG, random_params(), mean_C, np.float32(1.5))


@pytest.fixture(scope="module")
def frames_BTYX3():
  rng = np.random.default_rng(1)
  return rng.integers(0, 256, (2, 35, 16, 16, 3)).astype(np.uint8)


def test_saved_and_loaded_it_is_bitwise_the_same(tmp_path, tokenizer):
  save_tokenizer(tmp_path, tokenizer)
  loaded = load_tokenizer(tmp_path)
  jax.tree.map(np.testing.assert_array_equal, loaded.params, tokenizer.params)
  np.testing.assert_array_equal(loaded.mean_C, tokenizer.mean_C)
  np.testing.assert_array_equal(loaded.std, tokenizer.std)
  assert loaded.config == tokenizer.config
  assert loaded.fingerprint == tokenizer.fingerprint
  names = sorted(path.name for path in tmp_path.iterdir())
  assert names == ["tokenizer.json", "weights.safetensors"]


def test_the_fingerprint_depends_on_every_weight_and_statistic(tokenizer):
  leaves, tree = jax.tree.flatten(tokenizer.params)
  seen = {tokenizer.fingerprint}
  for number, leaf in enumerate(leaves):
    changed = leaf.copy()
    changed.flat[-1] = np.nextafter(changed.flat[-1], np.float32(9))
    params = [*leaves[:number], changed, *leaves[number + 1 :]]
    params = jax.tree.unflatten(tree, params)
    seen.add(dataclasses.replace(tokenizer, params=params).fingerprint)
  for name in ("mean_C", "std"):
    value = getattr(tokenizer, name) + np.float32(1)
    seen.add(dataclasses.replace(tokenizer, **{name: value}).fingerprint)
  assert len(seen) == len(leaves) + 3


def test_batches_equal_the_pure_forms_whatever_the_chunks(
  tokenizer, frames_BTYX3
):
  pictures_BYX3 = frames_BTYX3.reshape(-1, 16, 16, 3) / np.float32(255)
  params = tokenizer.params
  pure_BhwC = tokenizer.encode_portrait(params, pictures_BYX3)
  latents_BThwC = encode(tokenizer, frames_BTYX3)
  assert latents_BThwC.shape == (2, 35, 2, 2, 4)
  assert latents_BThwC.dtype == np.float32
  np.testing.assert_allclose(
    latents_BThwC.reshape(-1, 2, 2, 4), pure_BhwC, atol=1e-5
  )
  parts = [frames_BTYX3[:, :1], frames_BTYX3[:, 1:20], frames_BTYX3[:, 20:]]
  parts = [encode(tokenizer, part) for part in parts]
  np.testing.assert_allclose(
    np.concatenate(parts, axis=1), latents_BThwC, atol=1e-5
  )
  decoded_BTYX3 = decode(tokenizer, None, latents_BThwC)
  assert decoded_BTYX3.dtype == np.uint8
  assert decoded_BTYX3.shape == frames_BTYX3.shape
  _, pure_B1YX3 = tokenizer.decode_step(params, (), pure_BhwC)
  pure_BYX3 = pure_B1YX3.reshape(decoded_BTYX3.shape)
  np.testing.assert_allclose(decoded_BTYX3 / 255, pure_BYX3, atol=0.501 / 255)


def test_normalisation_is_undone_by_decoding(tokenizer, frames_BTYX3):
  pictures_BYX3 = frames_BTYX3[0, :3] / np.float32(255)
  variables = {"params": tokenizer.params}
  plain_BYX3 = Autoencoder(CONFIG).apply(variables, pictures_BYX3)
  latents_BhwC = tokenizer.encode_portrait(tokenizer.params, pictures_BYX3)
  _, decoded_B1YX3 = tokenizer.decode_step(tokenizer.params, (), latents_BhwC)
  np.testing.assert_allclose(
    decoded_B1YX3[:, 0], np.clip(plain_BYX3, 0, 1), atol=1e-5
  )
  raw_BhwC, _ = Autoencoder(CONFIG).apply(
    variables, pictures_BYX3, method="encode"
  )
  expected_BhwC = np.asarray(raw_BhwC) - tokenizer.mean_C[None, None, None]
  np.testing.assert_allclose(
    latents_BhwC, expected_BhwC / tokenizer.std, atol=1e-5
  )


def test_the_linear_decoder_sees_one_latent_beyond_each_patch():
  config = dataclasses.replace(CONFIG, size=40, decoder_depth=0)
  params = random_params(config)
  params["decoder"]["out"]["kernel"] *= 0
  latents_1hwC = np.zeros((1, 5, 5, 4), np.float32)

  def decode(latents_1hwC):
    return Autoencoder(config).apply(
      {"params": params}, latents_1hwC, method="decode"
    )

  changed_1hwC = latents_1hwC.copy()
  changed_1hwC[0, 1, 2] = 1
  differs_YX = (decode(changed_1hwC) != decode(latents_1hwC))[0].any(-1)
  expected_YX = np.zeros((40, 40), bool)
  expected_YX[0:24, 8:32] = True
  np.testing.assert_array_equal(differs_YX, expected_YX)


def test_no_picture_sees_another(tokenizer, frames_BTYX3):
  latents_BThwC = encode(tokenizer, frames_BTYX3)
  changed_BTYX3 = frames_BTYX3.copy()
  changed_BTYX3[0, 7] = 0
  changed_BThwC = encode(tokenizer, changed_BTYX3)
  differs_BT = (changed_BThwC != latents_BThwC).any((2, 3, 4))
  assert differs_BT[0, 7] and differs_BT.sum() == 1


@pytest.mark.parametrize("name", ["weights.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("damage", ["missing", "cut", "flipped"])
def test_a_damaged_tokenizer_is_refused(tmp_path, tokenizer, name, damage):
  save_tokenizer(tmp_path, tokenizer)
  path = tmp_path / name
  content = bytearray(path.read_bytes())
  if damage == "missing":
    path.unlink()
  elif damage == "cut":
    path.write_bytes(content[: len(content) // 2])
  else:
    place = -3 if name.startswith("weights") else content.index(b"finger") + 20
    content[place] ^= 1
    path.write_bytes(content)
  with pytest.raises(UserError, match=r"damaged|no tokenizer|not a JSON"):
    load_tokenizer(tmp_path)


def test_a_tokenizer_of_another_version_is_refused(tmp_path, tokenizer):
  save_tokenizer(tmp_path, tokenizer)
  path = pathlib.Path(tmp_path) / "tokenizer.json"
  path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 99}))
  with pytest.raises(UserError, match="version 99"):
    load_tokenizer(tmp_path)


def described(tokenizer, **changes):
  """What tokenizer.json says of another configuration, with its hash."""
  config = dataclasses.replace(tokenizer.config)
  for name, value in changes.items():
    object.__setattr__(config, name, value)  # as none may be made
  changed = dataclasses.replace(tokenizer, config=config)
  return {"config": to_dict(config), "fingerprint": changed.fingerprint}


@pytest.mark.parametrize(
  "changes",
  [
    {"size": 8 * 10**9},
    {"size": 0},
    {"patch": 0},
    {"patch": -8},
    {"channels": 10**18},
    {"width": 8 * 10**12, "heads": 1},
    {"heads": 0},
    {"encoder_depth": 10**9},
    {"decoder_depth": -1},
    {"decoder_depth": 10**400},
    {"dtype": "complex"},
    {"dtype": 5},
    {"channels": True},
    {"size": [16]},
  ],
  ids=str,
)
def test_an_absurd_configuration_is_a_line(tmp_path, tokenizer, changes):
  save_tokenizer(tmp_path, tokenizer)
  path = tmp_path / "tokenizer.json"
  saved = json.loads(path.read_text())
  path.write_text(json.dumps(saved | described(tokenizer, **changes)))
  with pytest.raises(UserError, match="tokenizer.*(damaged|not a JSON)"):
    load_tokenizer(tmp_path)


@pytest.mark.parametrize(
  "text",
  ["", "[]", "5", "{}", "[" * 9999, '{"version": NaN}', '{"version": 3}']
  + ['{"version": 3, "config": [], "fingerprint": ""}']
  + ['{"version": 3, "config": {"size": 16}, "fingerprint": "x"}']
  + ['{"version": 3, "config": {"sise": 16}, "fingerprint": "x"}'],
)
def test_a_description_that_is_rubbish_is_a_line(tmp_path, tokenizer, text):
  save_tokenizer(tmp_path, tokenizer)
  (tmp_path / "tokenizer.json").write_text(text)
  with pytest.raises(UserError, match="tokenizer.json.*train it again"):
    load_tokenizer(tmp_path)


@pytest.mark.parametrize("std", [0, -1, np.nan, np.inf])
def test_a_deviation_that_is_none_is_refused(tmp_path, tokenizer, std):
  odd = dataclasses.replace(tokenizer, std=np.float32(std))
  save_tokenizer(tmp_path, odd)
  with pytest.raises(UserError, match="damaged"):
    load_tokenizer(tmp_path)


def test_the_same_tokenizer_is_not_written_again(tmp_path, tokenizer):
  def written():
    return {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}

  save_tokenizer(tmp_path, tokenizer)
  before = written()
  save_tokenizer(tmp_path, tokenizer)
  assert written() == before


def test_one_that_is_half_replaced_is_none(tmp_path, tokenizer, monkeypatch):
  class Killed(Exception):
    pass

  def die(path, value):
    raise Killed

  save_tokenizer(tmp_path, tokenizer)
  other = dataclasses.replace(tokenizer, std=np.float32(2))
  with monkeypatch.context() as patch, pytest.raises(Killed):
    patch.setattr(files, "write_json", die)
    save_tokenizer(tmp_path, other)
  with pytest.raises(UserError, match="there is no tokenizer in"):
    load_tokenizer(tmp_path)
  save_tokenizer(tmp_path, other)
  assert load_tokenizer(tmp_path).fingerprint == other.fingerprint


@pytest.mark.parametrize("size", [256, 512])
def test_the_real_size_has_the_right_shapes(size):
  settings = real_config.get_config().model.to_dict() | {"size": size}
  assert settings.pop("kind") == "patches"
  config = from_config(TokenizerConfig, settings)
  model = Autoencoder(config)
  pictures_BYX3 = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
  params = jax.eval_shape(init_params(config), jax.random.key(0))
  mean_BhwC, _ = jax.eval_shape(
    lambda params, x: model.apply({"params": params}, x, method="encode"),
    params,
    pictures_BYX3,
  )
  assert mean_BhwC.shape == (2, size // 8, size // 8, 16)
  assert mean_BhwC.dtype == jnp.float32
  decoded_BYX3 = jax.eval_shape(
    lambda params, x: model.apply({"params": params}, x), params, pictures_BYX3
  )
  assert decoded_BYX3.shape == pictures_BYX3.shape
  count = sum(leaf.size for leaf in jax.tree.leaves(params))
  assert 100e6 < count < 130e6


def test_a_size_that_patches_do_not_fill_is_an_error():
  with pytest.raises(UserError, match="multiple of patch"):
    from_config(TokenizerConfig, dataclasses.asdict(CONFIG) | {"size": 20})


def test_every_parameter_of_the_tokenizer_learns():
  # Three times as large, so that attention is no plain mean.
  params = jax.tree.map(lambda x: 3 * x, random_params())
  rng = np.random.default_rng(0)
  pictures_BYX3 = jnp.asarray(rng.random((2, 16, 16, 3)), jnp.float32)
  model = Autoencoder(CONFIG)

  def loss(params):
    mean, spread = model.apply(
      {"params": params}, pictures_BYX3, method="encode"
    )
    out = model.apply({"params": params}, mean, method="decode")
    return jnp.square(out - pictures_BYX3).mean() + spread.mean()

  grads = jax.jit(jax.grad(loss))(params)
  for path, grad in jax.tree_util.tree_leaves_with_path(grads):
    assert jnp.abs(grad).max() > 1e-5, jax.tree_util.keystr(path)


@pytest.mark.parametrize("odd", [{"stride": 2}, {"latent_shape": (2, 2, 5)}])
def test_one_that_does_not_do_what_it_declares_is_refused(
  tmp_path, tokenizer, monkeypatch, odd
):
  save_tokenizer(tmp_path, tokenizer)
  other = type("Other", (PatchTokenizer,), odd)
  fields = tokenizer.params, tokenizer.mean_C, tokenizer.std
  made = other(tokenizer.config, *fields)
  kind = types.SimpleNamespace(load=lambda *unused: made)
  monkeypatch.setitem(tokenizers.KINDS, "patches", kind)
  with pytest.raises(UserError, match="declares .* and makes"):
    load_tokenizer(tmp_path)


def test_an_unknown_kind_is_named(tmp_path, tokenizer):
  save_tokenizer(tmp_path, tokenizer)
  path = tmp_path / "tokenizer.json"
  path.write_text(json.dumps(json.loads(path.read_text()) | {"kind": "patch"}))
  with pytest.raises(UserError, match="unknown kind 'patch'; did you mean pat"):
    load_tokenizer(tmp_path)
