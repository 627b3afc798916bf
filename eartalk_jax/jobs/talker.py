"""Training a talker: everything that must fit together, then the loop."""

import dataclasses

import jax

from data_pipelines.batches import TalkerBatches
from data_pipelines.shards import open_dataset
from eartalk_jax import recipes
from eartalk_jax.checkpoints.claim import Claim
from eartalk_jax.config import from_config, to_dict
from eartalk_jax.errors import UserError
from eartalk_jax.importing import licences
from eartalk_jax.outputs import check_folder
from eartalk_jax.processes.preflight import preflight
from eartalk_jax.scaling.flops import training_flops
from eartalk_jax.speech import load_speech, save_speech
from eartalk_jax.tokenizers.storing import load_tokenizer, save_tokenizer
from eartalk_jax.training import talker_training
from eartalk_jax.training.compilation import use_compile_cache
from eartalk_jax.training.loop import fit
from eartalk_jax.training.parallelism import check_mesh
from eartalk_jax.training.run_config import FREE
from eartalk_jax.training.sharding import check_batch, local_rows, make_mesh
from eartalk_jax.training.train_config import TrainConfig

# Places and speeds: fingerprints say whether the same things are there.
_FREE = (
  "tokenizer",
  "data.tokens",
  "data.threads",
  "data.prefetch",
  *(f"run.{name}" for name in FREE),
)


def train(config, workdir, profile=None):
  """Checks that everything fits together, then trains to the end.

  Args:
    config: a TrainConfig as a config file gives it.
    workdir: of the run.
    profile: first and last step to trace, or None.

  Raises:
    UserError: something does not fit; the message says what.
  """
  use_compile_cache()
  config = from_config(TrainConfig, config)
  reads = [config.tokenizer, config.data.tokens]
  check_folder(workdir, "--workdir", reads)
  tokenizer = load_tokenizer(config.tokenizer)
  dataset = open_dataset(config.data.tokens, "tokens")
  check_tokens(config, tokenizer, dataset)
  config = heard_in(config, dataset)
  speech = load_speech(dataset.directory / "speech")
  preflight(config, workdir, [tokenizer.fingerprint, dataset.fingerprint])
  recipe = recipes.of(config.recipe.kind)
  mesh = make_mesh(config.run.mesh)
  check_batch(config.run.batch_size, mesh, config.run.accumulate)
  view = recipe.visibility(config.model)
  check_mesh(config.model, view, config.data.frames, mesh)
  batches = TalkerBatches(
    dataset,
    config.data,
    config.model,
    config.run.batch_size,
    config.run.seed,
    local_rows(config.run.batch_size, mesh),
  )
  fingerprint = {
    "model": to_dict(config.model),
    "tokenizer": tokenizer.fingerprint,
  }
  resolved = to_dict(config) | {
    "categories": dataset.manifest["categories"],
    "fingerprints": {
      "tokenizer": tokenizer.fingerprint,
      "tokens": dataset.fingerprint,
      "speech": speech.fingerprint,
    },
  }
  functions = talker_training.functions(
    recipe, config.model, mesh, config.run.optimizer
  )
  flops = flops_per_step(config)
  _tell(functions["init_params"], dataset, batches, flops)
  fit(
    config.run,
    **functions,
    batches=batches,
    workdir=workdir,
    claim=Claim(
      resolved,
      _FREE,
      {
        "tokenizer": _saving(save_tokenizer, tokenizer, config.tokenizer),
        "speech": _saving(save_speech, speech, dataset.directory / "speech"),
      },
    ),
    fingerprint=fingerprint,
    flops_per_step=sum(flops.values()),
    profile=profile,
    mesh=mesh,
  )


def _saving(save, encoder, source):
  """What writes an encoder into a folder, with the licence in its source."""

  def write(directory):
    save(directory, encoder)
    licences.carry(source, directory)

  return write


def flops_per_step(config):
  """{part: model FLOPs of a step of all devices together}."""
  frames = config.run.batch_size * config.data.frames
  per_frame = training_flops(config.model, config.data.frames)
  return {part: frames * flops for part, flops in per_frame.items()}


def open_split(config, held_out, named):
  """Two token datasets: what is trained on, and what is held out.

  Args:
    config: TrainConfig.
    held_out: directory of a token dataset.
    named: what a user calls that.

  Returns:
    (the TrainConfig, with the speech of the tokens; Tokenizer, dataset,
    dataset)

  Raises:
    UserError: something does not fit, or the datasets are one.
  """
  tokenizer = load_tokenizer(config.tokenizer)
  datasets = [open_dataset(d, "tokens") for d in (config.data.tokens, held_out)]
  for dataset in datasets:
    check_tokens(config, tokenizer, dataset)
  tokens, others = datasets
  if others.fingerprint == tokens.fingerprint:
    raise UserError(
      f"{held_out} is what is trained on; {named} must be other clips"
    )
  return heard_in(config, tokens), tokenizer, tokens, others


def heard_in(config, dataset):
  """The TrainConfig with the speech of its tokens, where it says nothing of it.

  Args:
    config: TrainConfig; steps and bins of its audio may be 0.
    dataset: that passed `check_tokens`.

  Raises:
    UserError: the vectors are not of so many hidden states.
  """
  steps, bins = dataset.manifest["speech"]["shape"]
  audio = config.model.audio
  try:
    audio = dataclasses.replace(
      audio, steps=audio.steps or steps, bins=audio.bins or bins
    )
  except ValueError as error:
    raise UserError(
      f"config: model.audio: {error}; set model.audio.states to how many the "
      f"vectors in {dataset.directory} are made of"
    ) from error
  model = dataclasses.replace(config.model, audio=audio)
  return dataclasses.replace(config, model=model)


def check_tokens(config, tokenizer, dataset):
  """Raises UserError unless tokenizer, tokens and model belong together."""
  tokens = config.data.tokens
  match dataset.manifest:
    case {
      "tokenizer_fingerprint": str(),
      "latent_shape": list(),
      "stride": int(stride),
      "speech": {"shape": [int(), int()], "silence": list()},
    }:
      pass
    case _:
      raise UserError(
        f"{tokens}/manifest.json is damaged; run launch.tokenize again"
      )
  if dataset.manifest["tokenizer_fingerprint"] != tokenizer.fingerprint:
    raise UserError(
      f"{tokens} was made with another tokenizer than {config.tokenizer}; "
      "set config.tokenizer to the one it was made with, or run "
      "launch.tokenize again"
    )
  if stride != config.model.stride:
    raise UserError(
      f"config: model.stride is {config.model.stride}, but a latent in "
      f"{tokens} is {stride} frames; set it to that"
    )
  shape = tuple(dataset.manifest["latent_shape"])
  if shape != config.model.latent_shape:
    raise UserError(
      f"config: model.latent_shape is {config.model.latent_shape}, but "
      f"{tokens} has latents of {shape}; set it to that"
    )


def _tell(init_params, dataset, batches, flops):
  shapes = jax.eval_shape(init_params, jax.random.key(0))
  count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
  short = f", {batches.skipped} too short" if batches.skipped else ""
  devices = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
  print(
    f"{count / 1e6:.1f} M parameters on {devices}; "
    f"{len(dataset.source)} clips{short}",
    flush=True,
  )
  whole = sum(flops.values())
  parts = ", ".join(f"{part} {n / whole:.0%}" for part, n in flops.items() if n)
  print(f"model FLOPs: {parts}", flush=True)
