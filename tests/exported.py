"""A run with random weights that all count, and what becomes of it."""

import functools
import json
import pathlib
import shutil

import autoencoders
import jax
import numpy as np
import talkers
import torch

from eartalk_jax.checkpoints.checkpoint import Checkpoints
from eartalk_jax.config import to_dict
from eartalk_jax.export import modeling_eartalk
from eartalk_jax.export.description import describe_model
from eartalk_jax.export.exporting import COPIED, describe_training
from eartalk_jax.optimization.optimizer import OptimizerConfig
from eartalk_jax.speech import open_speech, save_speech
from eartalk_jax.tokenizers.patches import PatchTokenizer
from eartalk_jax.tokenizers.storing import save_tokenizer
from eartalk_jax.training.run_config import RunConfig
from eartalk_jax.training.train_step import make_init

torch.set_num_threads(1)

CATEGORIES = {"emotion": ["neutral", "happy", "sad", "angry"]}
STEP = 7
TOKENIZER = autoencoders.TokenizerConfig(
  **to_dict(autoencoders.CONFIG) | {"channels": 2, "patch": 4}
)
RUN = RunConfig(
  steps=10, batch_size=2, optimizer=OptimizerConfig(1e-3, 1, "muon")
)
VARIANTS = {
  "flow": {},
  "flow, cyclic, two sinks": {"positions": "cyclic", "sinks": 2},
  "flow, one layer": {"depth": 1},
  "no sink": {"without": ("sink",)},
  "no anchor, not direct": {"without": ("anchor", "direct")},
  "masked, cyclic": {"head": talkers.MASKED, "positions": "cyclic"},
  "masked noise, cyclic": {"head": talkers.NOISE, "positions": "cyclic"},
}


def _tokenizer(params):
  """Of the latents that `talkers.TINY` reads."""
  mean_C, std = np.float32([0.3, -0.2]), np.float32(0.8)
  return PatchTokenizer(TOKENIZER, params, mean_C, std)


@functools.cache
def tokenizer():
  """With weights that all count."""
  return _tokenizer(autoencoders.random_params(TOKENIZER))


def _written(cfg, tokenizer):
  """config.json of a run."""
  return {
    "model": to_dict(cfg),
    "categories": CATEGORIES,
    "run": to_dict(RUN),
    "data": {"tokens": "tokens/train", "frames": 4},
    "fingerprints": {"tokenizer": tokenizer, "tokens": "0"},
  }


def make_run(workdir, variant="flow", encoders=None, **changes):
  """Writes a work directory as training does; returns (model, ema).

  Args:
    workdir: to make.
    variant: of VARIANTS.
    encoders: (Tokenizer, Speech); ours and log-mel unless given.
    changes: to the talker besides.
  """
  # Small enough that 60 frames stay of the size of latents.
  model, params = talkers.talker(**VARIANTS[variant], **changes)
  params = jax.tree.map(lambda x: 0.5 * x, params)
  workdir.mkdir()
  own, speech = encoders or (tokenizer(), None)
  written = _written(model.cfg, own.fingerprint)
  save_tokenizer(workdir / "tokenizer", own)
  if speech:
    save_speech(workdir / "speech", speech)
    written["fingerprints"]["speech"] = speech.fingerprint
  (workdir / "config.json").write_text(json.dumps(written))
  state = make_init(RUN, lambda key: params)(jax.random.key(0))
  raw = jax.tree.map(lambda x: 0.9 * x, params)
  with Checkpoints(workdir, RUN, {"run": written["run"]}) as checkpoints:
    checkpoints.save(STEP, state.replace(params=raw))
  return model, params


def torch_folder(folder):
  """Writes a folder for PyTorch with random weights, of no run; returns it."""
  encoders = _tokenizer({}), open_speech(f"mel:{talkers.TINY.audio.bins}")
  config = describe_model(
    talkers.TINY, CATEGORIES, encoders, "ema", STEP, "float32"
  )
  config = json.loads(json.dumps(config))
  model = modeling_eartalk.EARTalking(
    modeling_eartalk.strict(modeling_eartalk.Config, config)
  )
  model.__dict__["tokenizer"] = modeling_eartalk.Tokenizer(model.cfg.tokenizer)
  generator = torch.Generator().manual_seed(0)
  for weights in (*model.parameters(), *model.tokenizer.parameters()):
    torch.nn.init.normal_(weights, std=0.1, generator=generator)
  model.save_pretrained(folder)
  run = _written(talkers.TINY, "0")
  training = describe_training(run, encoders)
  (folder / "training.json").write_text(json.dumps(training))
  for name in COPIED:
    here = pathlib.Path(modeling_eartalk.__file__).with_name(name)
    shutil.copyfile(here, folder / name)
  return folder


def tensors(tree):
  """The tree with torch's tensors."""
  return jax.tree.map(lambda x: torch.from_numpy(np.array(x)), tree)


def load(folder, **settings):
  """The model in a folder, by the module that is tested."""
  return modeling_eartalk.EARTalking.from_pretrained(folder, **settings)
