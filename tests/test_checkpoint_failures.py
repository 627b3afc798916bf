"""Disks that fill up, saves that fail, copies that stop half-way."""

import os
import shutil
import subprocess

import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp
from tiny import Batches, run_config, train

from eartalk_jax.checkpoints import checkpoint
from eartalk_jax.checkpoints.checkpoint_files import committed_steps, leftovers
from eartalk_jax.checkpoints.checkpoint_reading import load_ema
from eartalk_jax.errors import UserError


def steps_in(workdir):
  assert not leftovers(workdir / "checkpoints")
  return committed_steps(workdir / "checkpoints")


class Failing:
  """The real save, except for those of some steps."""

  def __init__(self, monkeypatch, steps):
    self.real = ocp.save_checkpointables_async
    self.steps = steps
    monkeypatch.setattr(ocp, "save_checkpointables_async", self.save)

  def save(self, path, items):
    saving = self.real(path, items)
    if int(path.name) not in self.steps:
      return saving

    class Failed:
      def result(self):
        saving.result()
        # As if it had been killed by an error before its commit.
        path.rename(path.with_name(f"{path.name}.orbax-checkpoint-tmp"))
        raise OSError("no space\nand much more")

    return Failed()


def test_a_failed_save_is_told_and_the_next_one_tried(
  tmp_path, monkeypatch, capsys
):
  Failing(monkeypatch, {10, 15, 25})
  train(tmp_path, run_config(steps=30, max_failed_saves=3))
  errors = capsys.readouterr().err
  assert errors.count("warning: a checkpoint could not be written") == 3
  assert "(no space); training goes on" in errors
  assert steps_in(tmp_path) == [20, 30]


def test_what_a_failed_save_writes_late_is_deleted_as_well(
  tmp_path, monkeypatch
):
  class Late(Batches):
    def batch(self, step):
      if step == 13:  # after the clean-up at 10, before the settling at 15
        (tmp_path / "checkpoints" / "5.orbax-checkpoint-tmp").mkdir()
      return super().batch(step)

  Failing(monkeypatch, {5})
  train(tmp_path, run_config(steps=20), batches=Late())
  assert 15 in steps_in(tmp_path)


def test_saves_that_fail_in_a_row_stop_the_run_and_lose_nothing(
  tmp_path, monkeypatch
):
  Failing(monkeypatch, {10, 15})
  message = r"no space; 2 in a row failed\); .* from step 5, the last one saved"
  with pytest.raises(UserError, match=message):
    train(tmp_path, run_config(steps=40, max_failed_saves=2))
  assert steps_in(tmp_path) == [5]


def test_a_last_save_that_fails_is_an_error(tmp_path, monkeypatch):
  Failing(monkeypatch, {12})
  with pytest.raises(UserError, match=r"no space; 1 in a row.*from step 10"):
    train(tmp_path, run_config(steps=12))


@pytest.fixture
def small_disk(tmp_path):
  disk = tmp_path / "disk"
  disk.mkdir()
  mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
  if subprocess.run(mount, capture_output=True).returncode:
    pytest.skip("no right to mount a disk")
  yield disk
  subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_disk_that_fills_up_and_is_emptied_again(small_disk, capsys):
  ballast = small_disk / "ballast"

  class Filling(Batches):
    def batch(self, step):
      if step == 8:
        free = shutil.disk_usage(small_disk).free
        ballast.write_bytes(bytes(free - 40_000))  # for lines of the logs
      if step == 18:
        ballast.unlink()
      return super().batch(step)

  run = run_config(steps=30)
  state = train(small_disk / "run", run, batches=Filling())
  errors = capsys.readouterr().err
  assert "a checkpoint could not be written" in errors
  assert "No space left" in errors
  assert steps_in(small_disk / "run") == [25, 30]
  _, ema = load_ema(small_disk / "run")
  kernel = np.asarray(state.ema["up"]["kernel"])
  np.testing.assert_array_equal(ema["up"]["kernel"], kernel)


def test_a_full_disk_is_seen_before_training(tmp_path, monkeypatch):
  usage = shutil.disk_usage(tmp_path)._replace(free=1000)
  monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda path: usage)
  with pytest.raises(UserError, match="e-07 GiB free and a checkpoint needs"):
    train(tmp_path / "run")
  assert steps_in(tmp_path / "run") == []


def test_a_workdir_that_cannot_be_written_is_named(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match="cannot write .*file/run"):
    train(tmp_path / "file" / "run")
  train(tmp_path / "run")
  if os.geteuid() == 0:
    pytest.skip("root may write anywhere")
  (tmp_path / "run" / "checkpoints").chmod(0o500)
  with pytest.raises(UserError, match="cannot write to .*checkpoints"):
    train(tmp_path / "run")


def copied(workdir, to, leave_out):
  """A copy that was interrupted: some files never arrived."""
  shutil.copytree(workdir, to, ignore=shutil.ignore_patterns(leave_out))
  return to


def test_half_a_copy_is_refused_by_whoever_reads_it(tmp_path):
  whole = tmp_path / "whole"
  train(whole)
  half = copied(whole, tmp_path / "late", "commit_success.txt")
  for read in (train, load_ema):
    with pytest.raises(UserError, match="12 is not a whole .* the beginning"):
      read(half)
  half = copied(whole, tmp_path / "early", "ocdbt.process_0")
  message = "12 is damaged: .* is missing.* no earlier one is whole"
  for read in (train, load_ema):
    with pytest.raises(UserError, match=message):
      read(half)


def test_what_another_program_wrote_is_refused(tmp_path):
  ocp.save_checkpointables(
    tmp_path / "checkpoints" / "7", {"weights": {"w": np.ones(3)}}
  )
  with pytest.raises(UserError, match="7 is damaged: state/ is missing; ema/"):
    train(tmp_path)


def test_one_flipped_bit_is_found_before_it_trains_on(tmp_path):
  train(tmp_path)
  paths = sorted((tmp_path / "checkpoints" / "12" / "state").rglob("d/*"))
  content = bytearray(paths[0].read_bytes())
  content[len(content) // 2] ^= 1
  paths[0].write_bytes(content)
  with pytest.raises(
    UserError, match=r"has another content; to go on from step 10.*\(mv .*12 "
  ):
    train(tmp_path)
  load_ema(tmp_path)  # does not need that file


def test_two_runs_do_not_share_a_folder(tmp_path):
  class Second(Batches):
    def iterate(self, step):
      with pytest.raises(
        UserError, match="another process trains in .*run; st"
      ):
        train(tmp_path / "run")
      return super().iterate(step)

  train(tmp_path / "run", batches=Second())
  train(tmp_path / "run")
  assert steps_in(tmp_path / "run") == [10, 12]
