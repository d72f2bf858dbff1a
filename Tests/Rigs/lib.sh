# shellcheck shell=bash
# What the rigs share: the cache, packages, the life of one run. Sourced, not run.

rig=$(basename "$0")
rigs=$(dirname "$(readlink -f "$0")")
umask 022 # what is made here is for tester to read, too
cache=${CGRUN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cgrun}

# 125: the rig failed, not the command (as with env, timeout and docker).
die() {
  echo "$rig: $*" >&2
  exit 125
}

usage() {
  sed -n '2,/^[^#]/ { /^#/ s/^# \{0,1\}//p }' "$0" >&2
  exit 125
}

# ---- packages -----------------------------------------------------------------------------------

# need_packages NAME… — install those that are missing.
need_packages() {
  local name missing=() lock
  for name; do
    [[ $(dpkg-query -Wf '${db:Status-Status}' "$name" 2> /dev/null) == installed ]] || missing+=("$name")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  mkdir -p "$cache"
  exec {lock}> "$cache/.apt"
  flock "$lock"
  apt_install "${missing[@]}" || { apt-get -qq update >&2 && apt_install "${missing[@]}"; } \
    || die "cannot install ${missing[*]}"
  exec {lock}>&-
}

apt_install() {
  DEBIAN_FRONTEND=noninteractive nice apt-get -qq -o DPkg::Lock::Timeout=300 \
    install --no-install-recommends "$@" > /dev/null
}

# The mirror that this machine takes its own Debian from.
debian_mirror() {
  local found query
  # shellcheck disable=SC2016  # expanded by apt
  query=(apt-get indextargets --format '$(REPO_URI)'
    'Created-By: Packages' 'Origin: Debian' 'Label: Debian')
  found=$("${query[@]}")
  if [[ -z $found ]]; then # before the first update apt does not know the origin
    apt-get -qq update >&2
    found=$("${query[@]}")
  fi
  [[ -n $found ]] || die "no Debian mirror among this machine's apt sources"
  head -n 1 <<< "$found"
}

# bootstrap VARIANT PACKAGES SUITE DIRECTORY — a Debian tree (variants: see mmdebstrap).
bootstrap() {
  local mirror setting settings=()
  need_packages mmdebstrap debian-archive-keyring
  mirror=$(debian_mirror)
  # The clock and the proxy of this machine may need these; nothing else of its apt settings is taken.
  while read -r setting; do
    settings+=("--aptopt=$setting")
  done < <(apt-config dump | grep -E '^Acquire::(Check-|https?::Proxy)' || true)
  mkdir "$4.tmp.part" # its own temporary files: thrown away with the rest if this is interrupted
  # In namespaces, so that it takes its processes and mounts along when it or this script is killed;
  # in a subshell, because tied executes.
  (TMPDIR=$4.tmp.part tied unshare --mount --pid --fork --kill-child --mount-proc \
    nice mmdebstrap --quiet --mode=root --format=directory --variant="$1" --include="$2" \
    "${settings[@]}" --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    "$3" "$4" "$mirror" >&2)
  rm -rf "$4.tmp.part"
}

# ---- cache --------------------------------------------------------------------------------------

# cached NAME BUILDER — print the path of NAME in the cache; if it is not there, `BUILDER PATH.part`
# makes it. An interrupted build leaves a .part, which the next build throws away.
cached() {
  local target=$cache/$1 lock
  if [[ ! -e $target ]]; then
    mkdir -p "$cache"
    exec {lock}> "$cache/.build" # inherited by what BUILDER starts: locked until all of it is gone
    flock "$lock"
    if [[ ! -e $target ]]; then
      rm -rf --one-file-system "$cache"/*.part
      echo "$rig: building ${target##*/} …" >&2
      "$2" "$target.part"
      mv "$target.part" "$target"
      # Relatives of older recipes, long unused.
      find "$cache" -mindepth 1 -maxdepth 1 -name "${1%-*}-*" ! -name "$1" -mtime +14 \
        -exec rm -rf --one-file-system {} +
    fi
    exec {lock}>&-
  fi
  echo "$target"
}

# ---- one run ------------------------------------------------------------------------------------

# tied COMMAND… — run it so that it dies with this script, even when that is SIGKILLed.
# Wants to be started as `tied … &` to be the script's own child.
tied() {
  [[ ! -v run_lock ]] || exec {run_lock}>&-
  exec setpriv --pdeathsig KILL -- "$@"
}

# parse_run "$@" — sets binds, mode, timeout, command (and suite where wanted).
# shellcheck disable=SC2034  # used by the scripts that source this
parse_run() {
  binds=() mode=root
  while [[ $# -gt 0 ]]; do
    case $1 in
      --bind) binds+=("${2-}") ;;
      --timeout) timeout=${2-} ;;
      --cpus) [[ -v cpus ]] || usage && cpus=${2-} ;;
      --user | --login) mode=${1#--} && shift && continue ;;
      --) shift && break ;;
      -*) usage ;;
      *) break ;;
    esac
    [[ $# -ge 2 ]] || usage
    shift 2
  done
  command=("$@")
  [[ ${#command[@]} -gt 0 && $timeout =~ ^[0-9]+$ && ${cpus:-2} =~ ^[1-9]$ ]] || usage
  local bind
  for bind in "${binds[@]}"; do
    [[ $bind =~ ^(/[^:]*):(/[^:]+)(:rw)?$ ]] || die "--bind $bind: not HOST:GUEST or HOST:GUEST:rw"
    [[ -e ${BASH_REMATCH[1]} ]] || die "--bind $bind: no such file"
  done
  [[ $EUID -eq 0 ]] || die "needs root"
}

# begin_run — makes the run's directory and arranges for its end.
# A directory in runs/ is locked as long as its script lives; one that is not locked was left behind
# by a script that was SIGKILLed, and is cleared away here.
begin_run() {
  local lock left left_lock
  run='' machine='' workers=()
  mkdir -p "$cache/runs"
  exec {lock}> "$cache/runs/.lock"
  flock "$lock"
  for left in "$cache"/runs/*/; do
    [[ -d $left ]] || continue
    exec {left_lock}< "$left"
    if flock --nonblock "$left_lock"; then
      clear_run "${left%/}"
    fi
    exec {left_lock}<&-
  done
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap end_run EXIT
  run=$(mktemp -d "$cache/runs/$rig.XXXXXX")
  exec {run_lock}< "$run"
  flock "$run_lock"
  exec {lock}>&-
  chmod 755 "$run"
  mkfifo -m 666 "$run/out" "$run/err" "$run/status"
  : > "$run/console"
}

# guest_files DIRECTORY — what the guest finds as /run/rig: the command, and how to start it and to
# say how it ended.
guest_files() {
  cp -r "$rigs/guest/." "$1"
  echo "$mode" > "$1/mode"
  {
    echo '#!/bin/bash'
    echo 'exec < /dev/null > /run/rig/out 2> /run/rig/err'
    printf 'exec'
    printf ' %q' "${command[@]}"
    echo
  } > "$1/command"
  chmod 755 "$1/command"
}

# await_run — pass the output on until the command has ended; exit as it did.
await_run() {
  local result timer outputs=()
  tied cat "$run/out" &
  outputs+=($!)
  tied cat "$run/err" >&2 &
  outputs+=($!)
  tied head -n 1 "$run/status" > "$run/result" &
  result=$!
  tied sleep "$timeout" &
  timer=$!
  workers+=("${outputs[@]}" "$result" "$timer")

  wait -n "$result" "$timer" "$machine" || true
  if [[ ! -s $run/result ]]; then
    tail -n 40 "$run/console" | tr -cd '[:print:]\n\t' >&2
    if kill -0 "$timer" 2> /dev/null; then
      die "the machine ended before the command did"
    fi
    echo "$rig: not finished after $timeout s" >&2
    exit 124
  fi
  stop_machine
  # If nothing ever opened its end, this wakes the cats; otherwise they have what there was.
  : <> "$run/out" <> "$run/err"
  wait "${outputs[@]}" || true
  exit_as "$(< "$run/result")"
}

# exit_as "CODE STATUS" — the words of systemd.exec(5) for how a process ended.
exit_as() {
  local code status
  read -r code status <<< "$1"
  case $code in
    exited) exit "$status" ;;
    killed | dumped) exit $((128 + $(kill -l "$status"))) ;;
    *) die "the system did not come up: $1" ;;
  esac
}

stop_machine() {
  [[ -n $machine ]] || return 0
  kill_cgroups "$run"
  kill -KILL "$machine" || true
  wait "$machine" || true
  machine=''
} 2> /dev/null # or bash tells about each process it sees killed

end_run() {
  trap '' HUP INT TERM # nothing may interrupt this
  trap - EXIT
  stop_machine
  if [[ ${#workers[@]} -gt 0 ]]; then
    {
      kill -KILL "${workers[@]}" || true
      wait "${workers[@]}" || true
    } 2> /dev/null
  fi
  [[ -z $run ]] || clear_run "$run"
}

# clear_run DIRECTORY — what a run keeps outside its processes.
clear_run() {
  local group
  kill_cgroups "$1"
  while read -r group; do
    [[ ! -d $group ]] || find "$group" -depth -type d -exec rmdir {} +
  done < <(cat "$1/cgroups" 2> /dev/null || true)
  rm -rf --one-file-system "$1"
}

# own_cgroup MOUNT PATH — make a cgroup for this run below the caller's own; sets own_cgroup.
# It is noted before it is made, for the run that finds this one dead.
own_cgroup() {
  own_cgroup=${1%/}${2%/}/cgrun-rig-${run##*.}
  echo "$own_cgroup" >> "$run/cgroups"
  mkdir "$own_cgroup"
}

# kill_cgroups DIRECTORY — kill all in the cgroups of a run and wait until they are empty.
kill_cgroups() {
  local group try
  while read -r group; do
    [[ -e $group/cgroup.kill ]] || continue
    echo 1 > "$group/cgroup.kill"
    for ((try = 0; try < 500; try++)); do
      if grep -q '^populated 0' "$group/cgroup.events"; then break; fi
      sleep 0.01
    done
  done < <(cat "$1/cgroups" 2> /dev/null || true)
}
