import dataclasses

import jax
import numpy as np
import pytest
import torch
from foreign import TOLERANCE, perturbed, saved

from eartalk_jax.errors import UserError
from eartalk_jax.speech import (
  KINDS,
  features,
  load_speech,
  save_speech,
  whisper,
)
from eartalk_jax.speech.whisper.spectrogram import log_mel

transformers = pytest.importorskip("transformers")
POSITIONS = 25
SETTINGS = {
  "d_model": 48,
  "encoder_layers": 2,
  "encoder_attention_heads": 4,
  "encoder_ffn_dim": 64,
  "max_source_positions": POSITIONS,
  "decoder_layers": 1,
  "decoder_attention_heads": 4,
  "decoder_ffn_dim": 64,
  "max_target_positions": 16,
  "vocab_size": 64,
  **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 1),
  "decoder_start_token_id": 1,
}
# 9 frames, 18 of 25 positions.
WINDOW = 3, 4, 2


@pytest.fixture(scope="module")
def theirs():
  config = transformers.WhisperConfig(**SETTINGS)
  torch.manual_seed(0)
  return perturbed(transformers.WhisperForConditionalGeneration(config))


@pytest.fixture(scope="module")
def source(theirs, tmp_path_factory):
  return saved(theirs, tmp_path_factory.mktemp("whisper"))


@pytest.fixture(scope="module")
def ours(source):
  [kind] = [kind for kind in list(KINDS)[1:] if KINDS[kind].recognises(source)]
  assert kind == "whisper"
  return whisper.imported(source, WINDOW, [1, 2, 0])


def sound(*shape, seed=0):
  rng = np.random.default_rng(seed)
  return (0.1 * rng.standard_normal(shape)).astype(np.float32)


def extractor(bins=80):
  return transformers.WhisperFeatureExtractor(feature_size=bins)


# Of 128 bins the lowest are single frequencies, some of them nearly silent by
# chance: there transformers too errs by 2e-5 in single precision.
@pytest.mark.parametrize(
  ("samples", "bins", "tolerance"),
  [(31_999, 80, 2e-6), (48_000, 80, 2e-6), (48_000, 128, 2e-5)],
)
def test_the_spectrogram_is_that_of_transformers(samples, bins, tolerance):
  """Theirs in double precision: in single theirs errs by as much as ours."""
  samples_BS = sound(2, samples, seed=1)
  samples_BS[1] *= 0.001
  # Silence and a step as well.
  samples_BS[0, 5_000:9_000] = 0
  samples_BS[0, 20_000:] += 0.1
  found_BMF = jax.jit(log_mel, static_argnums=(1, 2))(samples_BS, bins, 300)
  padded_BS = np.pad(samples_BS, ((0, 0), (0, 48_000 - samples)))
  for found_MF, padded_S in zip(found_BMF, padded_BS, strict=True):
    # One by one: given a batch, this one has the loudest of all for each.
    [wanted_FM] = extractor(bins)._np_extract_fbank_features(
      padded_S[None], "cpu"
    )
    np.testing.assert_allclose(found_MF, wanted_FM.T, atol=tolerance, rtol=0)


@torch.no_grad()
def their_states(theirs, samples_BS):
  mel = extractor()(
    list(samples_BS),
    sampling_rate=16_000,
    max_length=POSITIONS * 320,
    return_tensors="pt",
  ).input_features
  encoder = theirs.model.encoder
  return encoder(mel, output_hidden_states=True).hidden_states


def test_every_hidden_state_is_that_of_transformers(theirs, ours):
  samples_BS = sound(2, 9 * 640)
  found_BtAF = jax.jit(ours.apply)(ours.params, samples_BS)
  states = their_states(theirs, samples_BS)
  assert len(states) == 3
  for place, number in enumerate((1, 2, 0)):
    found_BND = found_BtAF[..., 48 * place : 48 * (place + 1)].reshape(2, 8, 48)
    wanted_BND = states[number][:, 6:14]
    np.testing.assert_allclose(found_BND, wanted_BND, atol=TOLERANCE, rtol=0)
    assert 0.1 < wanted_BND.abs().max() < 100


def test_a_clip_is_heard_by_windows(theirs, ours):
  samples_S = sound(7 * 640, seed=1)
  found_TAF = features(ours, samples_S)
  padded_S = np.pad(samples_S, (3 * 640, 3 * 640))
  windows_BS = [padded_S[t * 640 : (t + 9) * 640] for t in (0, 4)]
  states = their_states(theirs, np.stack(windows_BS))
  wanted_BND = np.concatenate([states[i][:, 6:14] for i in (1, 2, 0)], -1)
  wanted_TAF = wanted_BND.reshape(8, 2, 144)[:7]
  np.testing.assert_allclose(found_TAF, wanted_TAF, atol=TOLERANCE)
  # The second window hears frames 1 to 9.
  changed_S = samples_S.copy()
  changed_S[:640] = 1
  np.testing.assert_array_equal(features(ours, changed_S)[4:], found_TAF[4:])
  changed_S[640] += 0.5
  assert (features(ours, changed_S)[4:] != found_TAF[4:]).any()


def test_it_is_kept_and_goes_back(theirs, ours, tmp_path):
  save_speech(tmp_path, ours)
  again = load_speech(tmp_path)
  assert again.fingerprint == ours.fingerprint
  config, arrays = whisper.foreign(again)
  config = transformers.AutoConfig.for_model(**config)
  encoder = transformers.models.whisper.modeling_whisper.WhisperEncoder(config)
  encoder.load_state_dict({k: torch.tensor(v) for k, v in arrays.items()})
  for name, tensor in theirs.model.encoder.state_dict().items():
    np.testing.assert_array_equal(arrays[name], tensor)


def test_what_does_not_fit_is_named(source):
  missing = "model.encoder.conv2.bias"
  names = [name for name in source.names if name != missing]
  short = source.renamed({name: name for name in names})
  with pytest.raises(UserError, match="lacks conv2.bias"):
    whisper.imported(short, WINDOW, [0])
  for changes, message in (
    ({"encoder_depth": 3}, "unknown key 'encoder_depth'"),
    ({"num_mel_bins": 128}, "conv1.weight is"),
    ({"activation_function": "relu"}, "activation_function is 'relu'"),
  ):
    config = source.config | changes
    with pytest.raises(UserError, match=message):
      whisper.imported(dataclasses.replace(source, config=config), WINDOW, [0])
  with pytest.raises(UserError, match="25 has room for 12"):
    whisper.imported(source, (6, 4, 3), [0])
  with pytest.raises(UserError, match="this network has 0 to 2"):
    whisper.imported(source, WINDOW, [3])
  with pytest.raises(UserError, match="hop_length is 80"):
    fast = dataclasses.replace(source, processor={"hop_length": 80})
    whisper.imported(fast, WINDOW, [0])
