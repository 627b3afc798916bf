import dataclasses

import jax
import numpy as np
import pytest
import torch
from foreign import TOLERANCE, file_of, perturbed, saved

from eartalk_jax.errors import UserError
from eartalk_jax.speech import KINDS, features, load_speech, save_speech
from eartalk_jax.speech.wav2vec.relative import buckets_NM

transformers = pytest.importorskip("transformers")
SMALL = {
  "hidden_size": 48,
  "num_hidden_layers": 2,
  "num_attention_heads": 4,
  "intermediate_size": 64,
  "conv_dim": (12, 16, 20, 12, 16, 12, 20),
  "num_conv_pos_embeddings": 16,
  "num_conv_pos_embedding_groups": 4,
}
STABLE = {
  "feat_extract_norm": "layer",
  "conv_bias": True,
  "do_stable_layer_norm": True,
}
BUCKETS = {"num_buckets": 16, "max_bucket_distance": 30}
# What is tried: (kind, settings).
NETWORKS = {
  "wav2vec2": ("wav2vec2", {}),
  "hubert": ("hubert", {}),
  "hubert-stable": ("hubert", STABLE),
  "wavlm": ("wavlm", BUCKETS),
  "wavlm-stable": ("wavlm", STABLE | BUCKETS),
}
# Nothing around the step: (left, step, right).
WHOLE = 0, 25, 0
WINDOW = 3, 2, 2


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  """(their model, its Source) by name."""
  found = {}

  def make(name):
    if name not in found:
      kind, changes = NETWORKS[name]
      config = transformers.AutoConfig.for_model(kind, **SMALL, **changes)
      torch.manual_seed(0)
      model = perturbed(transformers.AutoModel.from_config(config))
      found[name] = model, saved(model, tmp_path_factory.mktemp(name))
    return found[name]

  return make


def sound(*shape, seed=0):
  """Speech as loud as usual, off centre."""
  rng = np.random.default_rng(seed)
  return (0.05 * rng.standard_normal(shape) + 0.01).astype(np.float32)


def normal(samples_BS):
  """As the original prepares each sound."""
  extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
  said = extractor(list(samples_BS), sampling_rate=16_000, return_tensors="pt")
  return said.input_values


@torch.no_grad()
def their_states(model, samples_BS):
  """All hidden states, [B N D] each, of sounds of one length."""
  found = model(normal(samples_BS), output_hidden_states=True)
  states = list(found.hidden_states)
  if model.config.do_stable_layer_norm:
    states.append(found.last_hidden_state)
  return [state.numpy() for state in states]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_hidden_state_is_that_of_transformers(made, name):
  model, source = made(name)
  [kind] = [kind for kind in list(KINDS)[1:] if KINDS[kind].recognises(source)]
  assert kind == NETWORKS[name][0]
  numbers = list(range(3 + ("stable" in name)))
  speech = KINDS[kind].imported(source, WHOLE, numbers)
  samples_BS = sound(2, 25 * 640 + 80)
  found_BtAF = jax.jit(speech.apply)(speech.params, samples_BS)
  states = their_states(model, samples_BS)
  assert len(states) == len(numbers)
  for number, wanted_BND in zip(numbers, states, strict=True):
    of_state = slice(48 * number, 48 * (number + 1))
    found_BND = found_BtAF[..., of_state].reshape(2, 50, 48)
    np.testing.assert_allclose(found_BND, wanted_BND, atol=TOLERANCE, rtol=0)
    assert 0.1 < np.abs(wanted_BND).max() < 100


@pytest.fixture(scope="module")
def speech(made):
  return KINDS["hubert"].imported(made("hubert")[1], WINDOW, [2, 1])


def test_a_clip_is_heard_by_windows(made, speech):
  model, _ = made("hubert")
  samples_S = sound(7 * 640, seed=1)
  found_TAF = features(speech, samples_S)
  assert found_TAF.shape == (7, 2, 96)
  padded_S = np.pad(samples_S, (3 * 640, 3 * 640 + 80))
  windows_BS = np.stack(
    [padded_S[t * 640 : (t + 7) * 640 + 80] for t in (0, 2, 4, 6)]
  )
  states = their_states(model, windows_BS)
  wanted_BND = np.concatenate([states[2], states[1]], -1)[:, 6:10]
  wanted_TAF = wanted_BND.reshape(8, 2, 96)[:7]
  np.testing.assert_allclose(found_TAF, wanted_TAF, atol=TOLERANCE)
  silence_TAF = features(speech, np.zeros(12 * 640, np.float32))
  np.testing.assert_array_equal(silence_TAF[4], speech.silence_AF)


def test_what_is_outside_of_a_window_changes_nothing(speech):
  samples_S = sound(14 * 640, seed=2)
  whole_TAF = features(speech, samples_S)
  # Frames 6 and 7 are made of one window, which begins with frame 3.
  heard = slice(3 * 640, 10 * 640 + 80)
  changed_S = sound(14 * 640, seed=3)
  changed_S[heard] = samples_S[heard]
  changed_TAF = features(speech, changed_S)
  np.testing.assert_array_equal(changed_TAF[6:8], whole_TAF[6:8])
  for edge in (heard.start, heard.stop - 1):
    edged_S = samples_S.copy()
    edged_S[edge] += 0.5
    edged_TAF = features(speech, edged_S)
    assert (edged_TAF[6:8] != whole_TAF[6:8]).any()


@pytest.mark.parametrize("count", [250, 1100])
def test_buckets_of_the_published_network_are_those_of_transformers(count):
  attention = transformers.models.wavlm.modeling_wavlm.WavLMAttention(8, 1)
  offset_NM = torch.arange(count)[None] - torch.arange(count)[:, None]
  wanted_NM = attention._relative_positions_bucket(offset_NM)
  np.testing.assert_array_equal(buckets_NM(count, 320, 800), wanted_NM)


def test_files_of_all_ages_and_tasks_are_read(made, speech, tmp_path):
  _, source = made("hubert")
  arrays = {f"hubert.{name}": source.tensor(name) for name in source.names}
  place = "hubert.encoder.pos_conv_embed.conv."
  for now, old in (("original0", "weight_g"), ("original1", "weight_v")):
    arrays[place + old] = arrays.pop(f"{place}parametrizations.weight.{now}")
  arrays["lm_head.weight"] = np.zeros((4, 48), np.float32)
  # What transformers 4 still wrote.
  config = source.config | {"mask_channel_prob": 0.0, "tokenizer_class": "x"}
  old = dataclasses.replace(
    file_of(tmp_path / "old.safetensors", arrays), config=config
  )
  assert KINDS["hubert"].recognises(dataclasses.replace(old, config={}))
  again = KINDS["hubert"].imported(old, WINDOW, (2, 1))
  assert again.fingerprint == speech.fingerprint
  other = KINDS["hubert"].imported(
    dataclasses.replace(old, processor={"do_normalize": False}), WINDOW, (2, 1)
  )
  assert other.fingerprint != speech.fingerprint
  assert not other.config.do_normalize


def test_it_is_kept(speech, tmp_path):
  save_speech(tmp_path, speech)
  again = load_speech(tmp_path)
  assert again.fingerprint == speech.fingerprint
  assert again.config == speech.config
  np.testing.assert_array_equal(again.silence_AF, speech.silence_AF)
  text = (tmp_path / "speech.json").read_text()
  changed = text.replace('"num_attention_heads": 4', '"num_attention_heads": 2')
  assert changed != text
  (tmp_path / "speech.json").write_text(changed)
  with pytest.raises(UserError, match="it is not the one"):
    load_speech(tmp_path)


@pytest.mark.parametrize("name", ["hubert-stable", "wavlm"])
def test_it_goes_back_to_transformers(made, name):
  model, source = made(name)
  kind = KINDS[NETWORKS[name][0]]
  config, arrays = kind.foreign(kind.imported(source, WINDOW, [0]))
  config = transformers.AutoConfig.for_model(**config)
  again = transformers.AutoModel.from_config(config)
  again.load_state_dict({k: torch.tensor(v) for k, v in arrays.items()})
  wanted = model.state_dict()
  del wanted["masked_spec_embed"]
  assert wanted.keys() == arrays.keys()
  for key, tensor in wanted.items():
    np.testing.assert_array_equal(arrays[key], tensor)


def test_what_does_not_fit_is_named(made):
  _, source = made("wavlm")
  kind = KINDS["wavlm"]

  def refused(message, changes=None, window=WINDOW, states=(1,), names=None):
    config = source.config | (changes or {})
    changed = dataclasses.replace(source, config=config)
    if names:
      changed = changed.renamed({name: name for name in names})
    with pytest.raises(UserError, match=message):
      kind.imported(changed, window, states)

  missing = "feature_projection.projection.bias"
  names = [name for name in source.names if name != missing]
  refused(f"lacks {missing}", names=names)
  refused("unknown key 'num_bucket'", {"num_bucket": 3})
  refused("add_adapter is True", {"add_adapter": True})
  refused("hidden_act is 'relu'", {"hidden_act": "relu"})
  refused("model_type is 'hubert'", {"model_type": "hubert"})
  refused("must make a vector of 320 samples", {"conv_stride": [5] * 7})
  refused("wavlm alone has such", {"num_buckets": 0})
  refused("rel_attn_embed.weight is", {"num_buckets": 8})
  refused("this network has 0 to 2", states=(3,))
  refused("step is 0", window=(3, 0, 2))
  slow = dataclasses.replace(source, processor={"sampling_rate": 8000})
  with pytest.raises(UserError, match="sampling_rate is 8000"):
    kind.imported(slow, WINDOW, (1,))
