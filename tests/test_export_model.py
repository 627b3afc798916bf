"""The PyTorch file beside JAX: noise, ears, frames, losses, gradients."""

import functools

import exported
import jax
import librosa
import numpy as np
import pytest
import talkers
import torch
from exported import VARIANTS, tensors

from eartalk_jax import heads
from eartalk_jax.denoising.flow import Flow
from eartalk_jax.denoising.guidance import make_guidance
from eartalk_jax.export import modeling_eartalk as exported_model
from eartalk_jax.export import names
from eartalk_jax.export.exporting import export_folder
from eartalk_jax.export.tensors import torch_signals
from eartalk_jax.layers.patches import to_tokens
from eartalk_jax.models.signals import Signal
from eartalk_jax.recipes.ear import objective
from eartalk_jax.recipes.ear import stream as streaming
from eartalk_jax.speech import features, open_speech
from eartalk_jax.speech.contexts import Reach
from eartalk_jax.trees import path_name


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
  """variant -> (model, params, the same in PyTorch)."""

  @functools.cache
  def pair(variant):
    folder = tmp_path_factory.mktemp("pair")
    model, params = exported.make_run(folder / "run", variant)
    export_folder(folder / "run", folder / "out")
    return model, params, exported.load(folder / "out")

  return pair


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
def test_noise_is_that_of_jax(seed):
  key = jax.random.fold_in(jax.random.key(np.uint32(seed)), 12345)
  mine = torch.tensor([0, seed])
  mine = exported_model.fold_in(mine, torch.tensor(12345))
  np.testing.assert_array_equal(jax.random.key_data(key), mine)
  np.testing.assert_array_equal(
    jax.random.bits(key, (1000,)), exported_model.random_bits(mine, 1000)
  )
  np.testing.assert_allclose(
    exported_model.normal(mine, (50, 200)),
    jax.random.normal(key, (50, 200)),
    atol=1e-6,
  )
  for count in (1, 16, 3000):
    np.testing.assert_array_equal(
      jax.random.permutation(key, count),
      exported_model.permutation(mine, count),
    )


def test_mel_filters_are_librosas(pairs):
  cfg = pairs("flow")[2].cfg
  theirs = librosa.filters.mel(
    sr=cfg.audio.sample_rate,
    n_fft=cfg.speech.n_fft,
    n_mels=cfg.audio.bins,
    dtype=np.float64,
  )
  np.testing.assert_allclose(
    exported_model.mel_filters(cfg), theirs.T, atol=1e-12
  )


@pytest.mark.parametrize("piece", [1000, 641, 100_000])
def test_an_ear_hears_what_jax_hears_however_speech_is_cut(pairs, piece):
  theirs = pairs("flow")[2]
  cfg = theirs.cfg
  samples = np.random.default_rng(0).integers(-9000, 9000, 10_100, np.int16)
  ear = exported_model.Ear(cfg, theirs.speech)
  for start in range(0, len(samples), piece):
    ear.push(samples[start : start + piece])
  ear.finish()
  heard = np.stack([ear.take().numpy() for _ in range(ear.ready)])
  speech = open_speech(f"mel:{cfg.audio.bins}")
  reach = Reach(cfg.audio.past, cfg.audio.ahead, 1, speech.silence_AF)
  expected = reach.contexts(features(speech, samples), range(len(heard)))
  np.testing.assert_allclose(heard, expected, atol=1e-6)


@pytest.mark.parametrize(
  ("variant", "guide"),
  [
    ("flow", {}),
    *((variant, {"audio": 1.5, "pose": 0.5}) for variant in VARIANTS),
  ],
)
def test_streams_are_those_of_jax(pairs, variant, guide):
  model, params, theirs = pairs(variant)
  batch = talkers.batch(model.cfg, rows=2, frames=11)
  signals, rows = batch["signals"], 2
  weights = streaming.prepare(params)
  state = streaming.open(
    model,
    weights,
    batch["sink_BShwC"],
    jax.vmap(jax.random.key)(np.uint32([3, 4])),
    batch["portrait"],
  )
  guidance = make_guidance(model.cfg, guide, rows)
  step = jax.jit(lambda *args: streaming.step(model, weights, *args, guidance))
  names = tuple(sorted(guide))
  scales = tuple(torch.full((rows,), guide[name]) for name in names)
  their_guidance = exported_model.Guidance(names, scales)
  with torch.no_grad():
    their = theirs.open(tensors(batch["sink_BShwC"]), silent(batch))
  for frame in range(11):
    now = signals.at(frame)
    state, latents = step(state, signals.at(slice(frame, frame + 1)))
    noise = exported_model.frame_noise(
      theirs.cfg, torch.tensor([3, 4]), torch.tensor([frame, frame])
    )
    with torch.no_grad():
      their, their_latents = theirs.step(
        their, torch_signals(now), noise, their_guidance
      )
    np.testing.assert_allclose(their_latents, latents, atol=1e-5)


def silent(batch):
  """What is known of portraits, for PyTorch: it wants audio of zeros."""
  heard = batch["signals"].audio
  audio = Signal(0 * heard.value[:, 0], heard.given[:, 0] & False)
  return torch_signals(batch["portrait"].put("audio", audio))


def of_torch(batch):
  """A loader's batch for PyTorch."""
  return {
    "latents": tensors(batch["latents_BThwC"]),
    "sink": tensors(batch["sink_BShwC"]),
    "signals": torch_signals(batch["signals"]),
    "portrait": silent(batch),
  }


def _draws(cfg, tokens_BTNc, key):
  """What `ear.losses` draws, as TrainingDraws."""
  past_key, head_key = jax.random.split(key)
  history_key, first_key = jax.random.split(past_key)
  shape_BT = tokens_BTNc.shape[:2]
  _, level_BT = objective.noisy_history(
    tokens_BTNc, tokens_BTNc[:, 0], cfg.history, history_key
  )
  noise_key = jax.random.split(history_key, 3)[2]
  first_B = jax.random.randint(first_key, shape_BT[:1], 0, cfg.window + 1)
  hidden = None
  places, token = shape_BT, tokens_BTNc.shape[2:]
  if cfg.head.kind == "masked":
    hidden_key, head_key = jax.random.split(head_key)
    hidden = heads.masked.hidden_tokens(hidden_key, shape_BT, cfg.tokens)
    places, token = (*shape_BT, cfg.tokens), (1, cfg.token_width)
  time_key, head_noise_key = jax.random.split(head_key)
  places = (cfg.head.draws, *places)
  if getattr(cfg.head, "process", "flow") == "flow":
    time = Flow(cfg.head.shift).times(time_key, places)
  else:
    time = jax.random.uniform(time_key, places, minval=0.02, maxval=1.0)
  return exported_model.TrainingDraws(
    *tensors((level_BT, jax.random.normal(noise_key, tokens_BTNc.shape))),
    *tensors((first_B, time)),
    tensors(jax.random.normal(head_noise_key, (*places, *token))),
    None if hidden is None else tensors(hidden),
  )


@pytest.mark.parametrize(
  "variant",
  [
    "flow, cyclic, two sinks",
    pytest.param("no sink", marks=pytest.mark.proof),
    pytest.param("masked, cyclic", marks=pytest.mark.proof),
    "masked noise, cyclic",
  ],
)
def test_losses_and_gradients_are_those_of_jax(pairs, variant):
  model, params, theirs = pairs(variant)
  cfg, batch = model.cfg, talkers.batch(model.cfg, rows=2, frames=8)
  key = jax.random.key(5)
  loss_fn = talkers.talker_loss(model)
  loss, grads = jax.jit(
    jax.value_and_grad(lambda params: loss_fn(params, batch, key))
  )(params)
  their_batch = of_torch(batch)
  tokens_BTNc = to_tokens(batch["latents_BThwC"], cfg.patch)
  theirs.zero_grad()
  their_loss = theirs.loss(their_batch, _draws(cfg, tokens_BTNc, key))
  their_loss.backward()
  np.testing.assert_allclose(their_loss.item(), loss, rtol=1e-5)
  theirs_by_name = dict(theirs.named_parameters())
  for path, grad in jax.tree_util.tree_leaves_with_path(grads):
    path, grad = path_name(path), np.asarray(grad)
    for name, index in names.split_layers(path, grad.shape, cfg.depth):
      part = grad if index is None else grad[index]
      found = theirs_by_name[name].grad
      found = 0 * part if found is None else found.numpy()
      np.testing.assert_allclose(
        names.from_torch(path, found, part.shape),
        part,
        atol=1e-5 * max(np.abs(grad).max(), 1e-2),
        err_msg=name,
      )


@pytest.mark.parametrize("variant", ["flow", "masked noise, cyclic"])
def test_a_model_learns_in_pytorch(pairs, variant):
  theirs = pairs(variant)[2]
  batch = of_torch(talkers.batch(rows=2, frames=4))
  before = {k: v.clone() for k, v in theirs.state_dict().items()}
  torch.manual_seed(0)
  draws = theirs.training_draws(2, 4)
  adam = torch.optim.Adam(theirs.parameters(), 1e-3)
  losses = []
  for _ in range(40):
    adam.zero_grad()
    losses.append(theirs.loss(batch, draws))
    losses[-1].backward()
    adam.step()
  theirs.load_state_dict(before)
  assert losses[-1] < 0.8 * losses[0]
  fresh = [theirs.training_draws(50, 20) for _ in range(2)]
  assert not torch.equal(fresh[0].noise, fresh[1].noise)
  if variant != "flow":
    hidden = heads.masked.hidden_tokens(jax.random.key(0), (1000,), 4)
    share = fresh[0].hidden.float().mean().item()
    assert abs(share - hidden.mean()) < 0.03


def test_a_clip_is_a_stream(pairs):
  """Teacher-forced in PyTorch alone: forward over a clip = frame by frame."""
  _, _, theirs = pairs("flow, cyclic, two sinks")
  cfg, batch = theirs.cfg, talkers.batch(talkers.TINY, rows=2, frames=8)
  sink = tensors(batch["sink_BShwC"]).expand(-1, 2, -1, -1, -1)
  signals, portrait = torch_signals(batch["signals"]), silent(batch)
  tokens = exported_model.to_tokens(tensors(batch["latents_BThwC"]), cfg.patch)
  level = torch.full((2, 8), cfg.history.sampling_level)
  with torch.no_grad():
    before, sink_tokens = theirs.opening(
      exported_model.to_tokens(sink, cfg.patch)
    )
    previous = torch.cat([before[:, None], tokens[:, :-1]], dim=1)
    whole, _ = theirs.hidden(
      previous,
      level,
      sink_tokens,
      portrait,
      signals,
      torch.zeros(2, dtype=torch.int64),
    )
    state = theirs.open(sink, portrait)
    seen = []

    def sample(features, noise, guidance):
      seen.append(features[0])
      target = tokens[:, len(seen) - 1] - state.sink_BNc
      return target / cfg.head.spread

    theirs.head.sample = sample
    for frame in range(8):
      now = jax.tree.map(lambda x, t=frame: x[:, t], signals)
      state, _ = theirs.step(state, now, None)
    del theirs.head.sample
  torch.testing.assert_close(torch.stack(seen, 1), whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
  "variant", [pytest.param("flow", marks=pytest.mark.proof), "masked, cyclic"]
)
def test_a_frame_compiles_whole_and_once(pairs, variant):
  theirs = pairs(variant)[2]
  compiled = torch.compile(
    theirs.frame, backend="aot_eager", fullgraph=True, dynamic=False
  )
  stream, plain = (
    exported_model.Stream(
      theirs, np.zeros((16, 16, 3), np.uint8), guidance={"audio": 1.5}
    )
    for _ in range(2)
  )
  stream._make = compiled
  speech = np.random.default_rng(0).normal(0, 0.1, 640 * 8).astype(np.float32)
  torch._dynamo.utils.counters.clear()
  frames = []
  for each in (stream, plain):
    each.set("emotion", "sad", 3)
    each.push(speech)
    frames.append(np.stack(list(each.pull())))
  assert np.abs(frames[0] - frames[1].astype(int)).max() <= 1
  assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
