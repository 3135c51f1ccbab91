# shellcheck shell=bash
# What the scripts share. Sourced, never run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034  # for those who source this
release="$root/build/release"
# shellcheck disable=SC2034
tools="$root/build/tools"  # test programs that are not worth a package of their own on the machine

say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }

# die CODE MESSAGE...
die() {
  local code=$1
  shift
  say "$@"
  exit "$code"
}

# How many compilers may run at once: one per core, and 1.5 GiB of free memory for each. ATTEND_JOBS overrides it.
jobs_at_once() {
  local cores memory_kib by_memory
  cores=$(nproc)
  memory_kib=$(awk '/^MemAvailable:/ {print $2}' /proc/meminfo)
  by_memory=$((memory_kib / (1536 * 1024)))
  if [ "$by_memory" -lt "$cores" ]; then cores=$by_memory; fi
  if [ "$cores" -lt 1 ]; then cores=1; fi
  echo "${ATTEND_JOBS:-$cores}"
}

# configured DIR SETTING...: whether DIR is ready for ninja with these cache settings (NAME=VALUE) in place.
configured() {
  local dir=$1 setting
  shift
  [ -f "$dir/build.ninja" ] || return 1
  for setting in "$@"; do
    grep -q "^${setting%%=*}:[A-Z]*=${setting#*=}\$" "$dir/CMakeCache.txt" || return 1
  done
}

# configure DIR SETTING...: runs CMake where the folder does not have these settings yet.
configure() {
  local dir=$1
  shift
  configured "$dir" "$@" || cmake -S "$root" -B "$dir" -G Ninja "${@/#/-D}"
}

# compile DIR [TARGET...]: builds, everything where no target is named.
compile() {
  local dir=$1
  shift
  local targets=()
  if [ "$#" -gt 0 ]; then targets=(--target "$@"); fi
  cmake --build "$dir" --parallel "$(jobs_at_once)" "${targets[@]}"
}
