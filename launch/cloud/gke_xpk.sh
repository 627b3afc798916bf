#!/usr/bin/env bash
# Trains on TPU slices of a GKE cluster made with XPK. See docs/cloud.md.
set -euo pipefail
script=launch/cloud/gke_xpk.sh
# shellcheck source=launch/cloud/common.sh
source "$(dirname "$0")/common.sh"

usage() {
  cat <<'END'
usage: launch/cloud/gke_xpk.sh ACTION --cluster NAME --workload NAME [options]
                               [-- argument of launch.train]...

actions:
  start    submit the workload; needs --type, --image, --config and --workdir
  status   where the workload is in the queue
  watch    follow the log of each slice's first host
  stop     SIGTERM on every host: the run saves and ends; deletes the workload

options:
  --cluster NAME    made by `xpk cluster create`
  --workload NAME   of this job; the same again after stop resumes the run
  --project ID      default: gcloud's own
  --zone ZONE       default: gcloud's own
  --type TYPE       TPU type, for example v5p-128
  --slices K        slices of that type (default 1)
  --image IMAGE     with this repository, installed with jax[tpu], in --code
  --code DIR        of the repository in the image (default /app)
  --storage NAME    volume of `xpk storage attach` on which WORKDIR lies
  --priority LEVEL  very-low, low, medium, high or very-high (default medium)
  --restarts N      how often a run that was cut off starts again (default 50)
  --grace SECONDS   between SIGTERM and SIGKILL, to save in (default 300)
  --config FILE     of the run, for example configs/ear_1b.py
  --workdir DIR     of the run, on the volume that all hosts mount
  --dry-run         print the commands, run nothing
END
}

[[ ${1:-} != --help && ${1:-} != -h ]] || { usage; exit 0; }
action=${1:-}
[[ $action =~ ^(start|status|watch|stop)$ ]] ||
  fail "the first argument must be an action, not '$action'"
shift
cluster="" workload="" project="" zone="" type="" slices=1 image="" code=/app
storage="" priority=medium restarts=50 grace=300 config="" workdir="" dry_run=""
while (($#)); do
  case $1 in
    --) shift; break ;;
    --dry-run) dry_run=yes ;;
    --cluster | --workload | --project | --zone | --type | --slices | \
      --image | --code | --storage | --priority | --restarts | --grace | \
      --config | --workdir)
      (($# > 1)) || fail "$1 needs a value"
      printf -v "${1#--}" %s "$2"
      shift
      ;;
    *) fail "unknown option '$1'; launch.train's own come after --" ;;
  esac
  shift
done
need --cluster --workload
where=(--cluster="$cluster" ${project:+"--project=$project"}
  ${zone:+"--zone=$zone"})

case $action in
  start)
    need --type --image --config --workdir
    train=(python -m launch.train --distributed
      --config "$config" --workdir "$workdir" "$@")
    # exec: the signal that a pod gets must reach Python. A run that saved and
    # ended on it has status 143, one of those that XPK starts again.
    run xpk workload create "${where[@]}" --workload="$workload" \
      --tpu-type="$type" --num-slices="$slices" --docker-image="$image" \
      ${storage:+"--storage=$storage"} --priority="$priority" \
      --max-restarts="$restarts" --termination-grace-period-seconds="$grace" \
      --command="cd $(quote "$code") && exec $(quote "${train[@]}")"
    ;;
  status)
    run xpk workload list "${where[@]}" --filter-by-job="$workload"
    ;;
  watch)
    first=batch.kubernetes.io/job-completion-index=0
    run kubectl logs --follow --tail=50 --prefix --max-log-requests=64 \
      --selector="xpk.google.com/workload=$workload,$first"
    ;;
  stop)
    run xpk workload delete "${where[@]}" --workload="$workload" --force
    ;;
esac
