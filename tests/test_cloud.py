"""launch/cloud: what the scripts would run, refuse, and do on fake clusters."""

import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

import pytest
from ports import free_port
from test_train import tiny_config
from tokens import write_tokenizer, write_tokens

from eartalk_jax.telemetry.metrics import read_metrics

ROOT = pathlib.Path(__file__).parents[1]
CLOUD = ROOT / "launch" / "cloud"
TPU = "launch/cloud/tpu_vm.sh"
XPK = "launch/cloud/gke_xpk.sh"
SLURM = "launch/cloud/slurm.sbatch"
POD = ["--name", "pod", "--zone", "us-east5-a"]
JOB = ["--cluster", "big", "--workload", "ear"]
RUN = ["--config", "configs/my run.py", "--workdir", "/mnt/runs/it's"]
# What a shell must not touch.
OVERRIDE = "--config.data.tokens=/mnt/$HOME/a b"
TRAIN = ["-m", "launch.train", "--distributed", *RUN, OVERRIDE]


def call(*words, **environment):
  return subprocess.run(
    ["bash", *words],
    cwd=ROOT,
    env=os.environ | environment,
    capture_output=True,
    text=True,
    timeout=60,
  )


def dry(*words):
  """The words of the one command that a dry run prints."""
  done = call(*words)
  assert done.returncode == 0, done.stderr
  return shlex.split(done.stdout)


def program(path, text):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(text)
  path.chmod(0o755)


def until(condition, seconds=30):
  deadline = time.monotonic() + seconds
  while not condition():
    assert time.monotonic() < deadline
    time.sleep(0.05)


def test_shellcheck_has_nothing_to_say():
  scripts = [*CLOUD.glob("*.sh"), *CLOUD.glob("*.sbatch")]
  assert len(scripts) == 4
  checker = pathlib.Path(sys.executable).with_name("shellcheck")
  done = subprocess.run(
    [checker, "--external-sources", *scripts],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    text=True,
  )
  assert (done.returncode, done.stdout) == (0, "")


def test_tpu_vms_are_asked_for_by_slices():
  create = [TPU, "create", *POD, "--dry-run", "--type", "v5p-128"]
  create += ["--runtime", "v2-alpha-tpuv5", "--project", "mine"]
  expected = "gcloud compute tpus queued-resources create pod"
  expected += " --zone=us-east5-a --project=mine --accelerator-type=v5p-128"
  expected += " --runtime-version=v2-alpha-tpuv5"
  assert dry(*create) == [*expected.split(), "--node-id=pod"]
  assert dry(*create, "--slices", "4", "--spot") == [
    *expected.split(),
    *("--node-count=4", "--node-prefix=pod", "--spot"),
  ]


def test_every_tpu_host_gets_the_command_word_for_word():
  words = dry(TPU, "start", *POD, *RUN, "--dry-run", "--", OVERRIDE)
  ssh = "gcloud compute tpus queued-resources ssh pod --zone=us-east5-a"
  assert words[:-1] == [*ssh.split(), "--node=all", "--worker=all"]
  remote = words[-1].removeprefix("--command=")
  start = next(line for line in remote.splitlines() if "setsid" in line)
  arguments = shlex.split(start.partition(">>")[0])
  assert arguments == ["setsid", "nohup", ".venv/bin/python", *TRAIN]


def test_xpk_gets_the_workload():
  words = dry(
    *(XPK, "start", *JOB, *RUN, "--dry-run", "--type", "v5p-128"),
    *("--slices", "2", "--image", "hub/ear:1", "--storage", "runs"),
    *("--", OVERRIDE),
  )
  expected = "xpk workload create --cluster=big --workload=ear"
  expected += " --tpu-type=v5p-128 --num-slices=2 --docker-image=hub/ear:1"
  expected += " --storage=runs --priority=medium --max-restarts=50"
  expected += " --termination-grace-period-seconds=300"
  assert words[:-1] == expected.split()
  command = shlex.split(words[-1].removeprefix("--command="))
  assert command == ["cd", "/app", "&&", "exec", "python", *TRAIN]


@pytest.mark.parametrize(
  "words, expected",
  [
    (
      (TPU, "delete", *POD),
      "gcloud compute tpus queued-resources delete pod --zone=us-east5-a"
      " --force",
    ),
    (
      (XPK, "stop", *JOB, "--zone", "z"),
      "xpk workload delete --cluster=big --zone=z --workload=ear --force",
    ),
    (
      (XPK, "status", *JOB),
      "xpk workload list --cluster=big --filter-by-job=ear",
    ),
  ],
)
def test_other_actions(words, expected):
  assert dry(*words, "--dry-run") == expected.split()


@pytest.mark.parametrize(
  "words, message",
  [
    ((TPU,), "the first argument must be an action"),
    ((TPU, "start", "--name", "pod"), "start needs --zone"),
    ((TPU, "start", *POD), "start needs --config"),
    ((TPU, "start", *POD, "--config", "a"), "start needs --workdir"),
    ((TPU, "create", *POD), "create needs --type"),
    ((TPU, "create", *POD, "--slices", "0"), "--slices 0 is not a number"),
    ((TPU, "start", *POD, "--config"), "--config needs a value"),
    ((TPU, "start", *POD, "--config.run.steps=5"), "come after --"),
    ((XPK, "launch"), "must be an action, not 'launch'"),
    ((XPK, "start", "--cluster", "big"), "start needs --workload"),
    ((XPK, "start", *JOB, *RUN), "start needs --type"),
    ((SLURM, "--config", "a"), "--workdir is needed"),
    ((SLURM, *RUN), "submit it by sbatch"),
  ],
)
def test_what_is_missing_is_named_with_the_remedy(words, message):
  done = call(*words, PYTHON=sys.executable)
  assert done.returncode == 2
  assert message in done.stderr
  assert "--help" in done.stderr
  assert not done.stdout


def test_sbatch_from_elsewhere_is_refused(tmp_path):
  done = call(SLURM, *RUN, SLURM_SUBMIT_DIR=str(tmp_path))
  assert done.returncode == 2
  assert "is not the root of the repository" in done.stderr


@pytest.mark.parametrize("script", [TPU, XPK, SLURM])
def test_help_says_how(script):
  done = call(script, "--help")
  assert done.returncode == 0
  assert done.stdout.startswith("usage: ")


def hosts(tmp_path):
  """A gcloud in PATH that runs commands on two hosts: two directories."""
  homes = [tmp_path / "host0", tmp_path / "host1"]
  for home in homes:
    program(
      home / "eartalk_jax" / ".venv" / "bin" / "python",
      '#!/usr/bin/env bash\nprintf "%s\\n" "$@" >arguments\n'
      'trap "echo saved step 7; exit 143" TERM\n'
      "while true; do sleep 0.05; done\n",
    )
  program(
    tmp_path / "bin" / "gcloud",
    "#!/usr/bin/env bash\ncommand=${*: -1}\ncommand=${command#--command=}\n"
    "status=0\n"
    f"for home in {shlex.join(map(str, homes))}; do\n"
    '  (cd "$home" && bash -c "$command") || status=$?\ndone\nexit $status\n',
  )
  return homes, f"{tmp_path / 'bin'}:{os.environ['PATH']}"


def test_a_run_on_tpu_hosts_starts_once_and_stops_after_saving(tmp_path):
  homes, path = hosts(tmp_path)
  start = [TPU, "start", *POD, *RUN, "--", OVERRIDE]
  stop = [TPU, "stop", *POD]
  told = [home / "eartalk_jax" / "arguments" for home in homes]
  try:
    assert call(*start, PATH=path).returncode == 0
    until(lambda: all(file.exists() for file in told))
    assert [file.read_text().splitlines() for file in told] == [TRAIN] * 2
    again = call(*start, PATH=path)
    assert again.returncode == 2
    assert again.stderr.count("a run is going on") == 2
  finally:
    stopped = call(*stop, PATH=path)
  assert stopped.stdout.splitlines() == ["saved step 7"] * 2
  assert call(*stop, PATH=path).stdout.splitlines() == ["no run"] * 2
  assert call(*start, PATH=path).returncode == 0  # resumes
  assert call(*stop, PATH=path).returncode == 0


def slurm(tmp_path):
  """A cluster of two tasks on this machine: (environment, requeued jobs)."""
  program(
    tmp_path / "bin" / "srun",
    f"#!{sys.executable}\n"
    "import os, pathlib, subprocess, sys\n"
    "command = sys.argv[1:]\n"
    "while command[0].startswith('--'):\n  command.pop(0)\n"
    "ranks = [{'SLURM_PROCID': i, 'SLURM_LOCALID': i} for i in '01']\n"
    "tasks = [subprocess.Popen(command, env=os.environ | r) for r in ranks]\n"
    f"pathlib.Path({str(tmp_path / 'tasks')!r}).write_text(\n"
    "  ' '.join(str(task.pid) for task in tasks))\n"
    "sys.exit(max(task.wait() for task in tasks))\n",
  )
  program(
    tmp_path / "bin" / "scancel",
    '#!/usr/bin/env bash\n[[ "$*" == "--signal=TERM 7" ]]\n'
    f"kill -TERM $(cat {shlex.quote(str(tmp_path / 'tasks'))})\n",
  )
  requeued = tmp_path / "requeued"
  program(
    tmp_path / "bin" / "scontrol",
    f'#!/usr/bin/env bash\necho "$*" >>{shlex.quote(str(requeued))}\n',
  )
  return {
    "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
    "PYTHON": sys.executable,
    "PYTHONPATH": str(ROOT),
    "JAX_PLATFORMS": "cpu",
    "SLURM_SUBMIT_DIR": str(ROOT),
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NODELIST": "localhost",
    "SLURM_NTASKS": "2",
  }, requeued


def submit(tmp_path, arguments, **environment):
  """Starts the job as a batch system does."""
  with open(tmp_path / "log", "a") as log:
    return subprocess.Popen(
      ["bash", SLURM, *arguments],
      cwd=ROOT,
      env=os.environ | environment,
      stderr=log,
    )


def test_a_slurm_job_asks_its_tasks_to_stop_and_is_queued_again(tmp_path):
  environment, requeued = slurm(tmp_path)
  python, saved = tmp_path / "python", shlex.quote(str(tmp_path / "saved"))
  program(
    python,
    f'#!/usr/bin/env bash\nprintf "%s\\n" "$@" >{saved}.$SLURM_PROCID\n'
    f"[[ ! -e {saved} ]] || exit 0\n"
    f'trap "touch {saved}; exit 143" TERM\n'
    "while true; do sleep 0.05; done\n",
  )
  environment["PYTHON"] = str(python)
  told = [tmp_path / f"saved.{rank}" for rank in (0, 1)]
  job = submit(tmp_path, [*RUN, OVERRIDE], **environment)
  until(lambda: all(file.exists() and file.read_text() for file in told))
  assert [file.read_text().splitlines() for file in told] == [TRAIN] * 2
  time.sleep(0.1)  # until both have their trap
  job.send_signal(signal.SIGUSR1)
  assert job.wait(30) == 143, (tmp_path / "log").read_text()
  assert requeued.read_text() == "requeue 7\n"
  job = submit(tmp_path, [*RUN, OVERRIDE], **environment)
  assert job.wait(30) == 0, (tmp_path / "log").read_text()
  assert requeued.read_text() == "requeue 7\n", "only once"


@pytest.mark.proof
def test_a_slurm_job_saves_before_its_time_is_over_and_goes_on(tmp_path):
  tokenizer = write_tokenizer(tmp_path / "tokenizer")
  write_tokens(tmp_path / "tokens", tokenizer=tokenizer.fingerprint)
  config, workdir = tmp_path / "tiny.py", tmp_path / "run"
  values = tiny_config(tmp_path).to_dict()
  values["run"]["optimizer"]["matrices"] = "adam"  # compiles faster
  values["model"]["controls"] = ()
  config.write_text(
    "from ml_collections import ConfigDict\n\n\n"
    f"def get_config():\n  return ConfigDict({values!r})\n"
  )
  environment, requeued = slurm(tmp_path)
  command = [f"--config={config}", f"--workdir={workdir}"]
  for name, value in (("steps", 100), ("save_every", 999), ("log_every", 1)):
    command.append(f"--config.run.{name}={value}")
  command.append("--config.run.diagnose_every=999")

  def start():
    environment["JAX_COORDINATOR_PORT"] = str(free_port())
    return submit(tmp_path, command, **environment)

  job = start()
  begun = workdir / "metrics.jsonl"
  until(lambda: begun.exists() or job.poll() is not None, seconds=240)
  job.send_signal(signal.SIGUSR1)
  assert job.wait(120) == 143, (tmp_path / "log").read_text()
  assert requeued.read_text() == "requeue 7\n"
  stopped = [line["step"] for line in read_metrics(workdir)][-1]
  assert stopped < 100
  assert start().wait(240) == 0, (tmp_path / "log").read_text()
  steps = [line["step"] for line in read_metrics(workdir)]
  assert steps == list(range(1, 101))
  assert requeued.read_text() == "requeue 7\n", "only once"
