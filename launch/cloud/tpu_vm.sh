#!/usr/bin/env bash
# Trains on TPU VMs of many hosts, with nothing but gcloud. See docs/cloud.md.
set -euo pipefail
script=launch/cloud/tpu_vm.sh
# shellcheck source=launch/cloud/common.sh
source "$(dirname "$0")/common.sh"

usage() {
  cat <<'END'
usage: launch/cloud/tpu_vm.sh ACTION --name NAME --zone ZONE [options]
                              [-- argument of launch.train]...

actions:
  create   ask for the TPU VMs (a queued resource); needs --type and --runtime
  install  put the code and its packages on every host; needs --repo
  start    start launch.train on every host; needs --config and --workdir;
           refused where one is running; resumes what WORKDIR holds
  watch    follow the log of the first host
  stop     SIGTERM on every host, then wait for the last save
  delete   give the TPU VMs back

options:
  --name NAME       of the queued resource
  --zone ZONE       for example us-east5-a
  --project ID      default: gcloud's own
  --type TYPE       accelerator type, for example v5p-128
  --runtime NAME    TPU software version, for example v2-alpha-tpuv5
  --slices K        slices of that type (default 1)
  --spot            cheaper, may be taken away
  --repo URL        git repository of this code; --ref BRANCH (default main)
  --config FILE     of the run, for example configs/ear_1b.py
  --workdir DIR     of the run; a file system that ALL hosts mount (NFS, gcsfuse)
  --dry-run         print the commands, run nothing
END
}

# One command on every host of every slice, or on the one that is named.
on_hosts() {
  local worker=$1 command=$2
  run gcloud compute tpus queued-resources ssh "$name" "${where[@]}" \
    --node="$worker" --worker="$worker" --command="$command"
}

[[ ${1:-} != --help && ${1:-} != -h ]] || { usage; exit 0; }
action=${1:-}
[[ $action =~ ^(create|install|start|watch|stop|delete)$ ]] ||
  fail "the first argument must be an action, not '$action'"
shift
name="" zone="" project="" type="" runtime="" slices=1 spot="" repo="" ref=main
config="" workdir="" dry_run=""
while (($#)); do
  case $1 in
    --) shift; break ;;
    --spot) spot=yes ;;
    --dry-run) dry_run=yes ;;
    --name | --zone | --project | --type | --runtime | --slices | --repo | \
      --ref | --config | --workdir)
      (($# > 1)) || fail "$1 needs a value"
      printf -v "${1#--}" %s "$2"
      shift
      ;;
    *) fail "unknown option '$1'; launch.train's own come after --" ;;
  esac
  shift
done
need --name --zone
[[ $slices =~ ^[1-9][0-9]*$ ]] || fail "--slices $slices is not a number"
where=(--zone="$zone" ${project:+"--project=$project"})

case $action in
  create)
    need --type --runtime
    nodes=(--node-id="$name")
    ((slices == 1)) || nodes=(--node-count="$slices" --node-prefix="$name")
    run gcloud compute tpus queued-resources create "$name" "${where[@]}" \
      --accelerator-type="$type" --runtime-version="$runtime" \
      "${nodes[@]}" ${spot:+--spot}
    ;;
  install)
    need --repo
    # uv brings a Python that is new enough; the images' own may not be.
    on_hosts all "set -e
      [ -d eartalk_jax ] || git clone $(quote "$repo") eartalk_jax
      cd eartalk_jax
      git fetch origin && git checkout $(quote "$ref") && git pull --ff-only
      python3 -m pip install --quiet --user uv
      [ -d .venv ] || python3 -m uv venv --python 3.12 .venv
      python3 -m uv pip install --python .venv/bin/python -e . 'jax[tpu]'"
    ;;
  start)
    need --config --workdir
    train=(.venv/bin/python -m launch.train --distributed
      --config "$config" --workdir "$workdir" "$@")
    # The process must outlive the ssh session that starts it.
    on_hosts all "cd eartalk_jax || exit 1
      if kill -0 \$(cat train.pid 2>/dev/null) 2>/dev/null; then
        echo error: a run is going on, stop it first >&2
        exit 2
      fi
      setsid nohup $(quote "${train[@]}") >>train.log 2>&1 </dev/null &
      echo \$! >train.pid"
    ;;
  watch) on_hosts 0 "tail -n 50 -F eartalk_jax/train.log" ;;
  stop)
    on_hosts all "pid=\$(cat eartalk_jax/train.pid) || exit 0
      kill -TERM \$pid 2>/dev/null || { echo no run; exit 0; }
      while kill -0 \$pid 2>/dev/null; do sleep 1; done
      tail -n 1 eartalk_jax/train.log"
    ;;
  delete)
    run gcloud compute tpus queued-resources delete "$name" "${where[@]}" \
      --force
    ;;
esac
