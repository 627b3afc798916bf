# shellcheck shell=bash
# shellcheck disable=SC2154  # set by the scripts: script, action, dry_run
# What the launchers share.

fail() {
  echo "error: $1; see $script --help" >&2
  exit 2
}

# Prints a command such that a shell reads the same words again.
quote() {
  local word line="" escaped="'\\''"
  for word in "$@"; do
    [[ $word =~ ^[A-Za-z0-9_./:=,@%+-]+$ ]] ||
      word="'${word//\'/"$escaped"}'"
    line+="$word "
  done
  echo "${line% }"
}

# Runs a command; with --dry-run it only prints it.
run() {
  if [[ -n $dry_run ]]; then quote "$@"; else "$@"; fi
}

# need --name...: fails unless the options have values.
need() {
  local option variable
  for option in "$@"; do
    variable=${option#--}
    [[ -n ${!variable} ]] || fail "$action needs $option"
  done
}
