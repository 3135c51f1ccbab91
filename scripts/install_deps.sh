#!/usr/bin/env bash
# Installs what is missing on Debian 12.
#
#   scripts/install_deps.sh build   to build and run attend-server and attend
#   scripts/install_deps.sh test    that, and what the tests need
#   scripts/install_deps.sh bench   what the benchmarks compare with
#
# A machine that has everything needs neither root nor network. ATTEND_SKIP_INSTALL=1 skips all checks, for systems
# where the same libraries came another way.
# Exit codes: 0 all there; 2 wrong usage; 3 no apt here; 4 neither root nor sudo; 5 apt failed.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

build_packages=(
  g++ cmake ninja-build pkg-config ccache
  libgrpc++-dev protobuf-compiler protobuf-compiler-grpc libprotobuf-dev grpc-proto libabsl-dev
  libdnnl-dev ocl-icd-opencl-dev libopenblas-pthread-dev libeigen3-dev libhwy-dev
  prometheus-cpp-dev libcurl4-openssl-dev zlib1g-dev libmicrohttpd-dev
  libcli11-dev libfmt-dev libspdlog-dev nlohmann-json3-dev
  libcairo2-dev fontconfig fonts-dejavu-core
)
test_packages=(libgtest-dev libgmock-dev libbenchmark-dev python3-grpcio python3-numpy python3-protobuf python3-scipy)
bench_packages=(python3-torch)

apt_get() {
  local command=(apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@")
  if [ "$(id -u)" -eq 0 ]; then
    DEBIAN_FRONTEND=noninteractive "${command[@]}"
  else
    sudo env DEBIAN_FRONTEND=noninteractive "${command[@]}"
  fi
}

require_apt() {
  if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    die 3 "this is no Debian system: there is no apt here. What attend needs, by its Debian 12 names: $*." \
      "Install the like, then set ATTEND_SKIP_INSTALL=1."
  fi
}

require_root() {
  if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
    die 4 "missing packages, and neither root nor sudo to install them. Let an administrator run:" \
      "apt-get install --no-install-recommends $*"
  fi
}

# Refreshes the package lists at most once.
lists_are_fresh=no
refresh_lists() {
  [ "$lists_are_fresh" = no ] || return 1
  apt_get update
  lists_are_fresh=yes
}

missing_among() {
  local installed
  installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p' || true)
  printf '%s\n' "$@" | grep -vxF -f <(printf '%s\n' "$installed") || true
}

# install PACKAGE...: never removes a package that is in the way; then it fails and apt says why.
install_packages() {
  local missing
  mapfile -t missing < <(missing_among "$@")
  [ "${#missing[@]}" -gt 0 ] || return 0
  require_root "${missing[@]}"
  say "installing ${missing[*]}"
  if ! compgen -G '/var/lib/apt/lists/*Packages*' >/dev/null; then refresh_lists || true; fi
  local install=(install -y --no-install-recommends --no-remove "${missing[@]}")
  apt_get "${install[@]}" || { refresh_lists && apt_get "${install[@]}"; } ||
    die 5 "apt could not install these packages; the lines above say why"
}

# promtool comes in the package of the Prometheus server, whose installation starts a daemon and opens a port. Only the
# one program is taken out of it.
install_promtool() {
  if command -v promtool >/dev/null || [ -x "$tools/bin/promtool" ]; then return 0; fi
  say "unpacking promtool into ${tools#"$root"/}/bin"
  local scratch
  scratch=$(mktemp -d)
  (cd "$scratch" && apt-get -q -o APT::Sandbox::User=root download prometheus) ||
    die 5 "apt could not download the package prometheus, which holds promtool"
  dpkg-deb --fsys-tarfile "$scratch"/prometheus_*.deb | tar -x -C "$scratch" ./usr/bin/promtool
  install -D "$scratch/usr/bin/promtool" "$tools/bin/promtool"
  rm -r "$scratch"
}

main() {
  if [ "${ATTEND_SKIP_INSTALL:-}" = 1 ]; then return 0; fi
  case "${1:-}" in
    build)
      require_apt "${build_packages[@]}"
      install_packages "${build_packages[@]}"
      ;;
    test)
      require_apt "${build_packages[@]}" "${test_packages[@]}" promtool
      install_packages "${build_packages[@]}" "${test_packages[@]}"
      install_promtool
      ;;
    bench)
      require_apt "${bench_packages[@]}"
      install_packages "${bench_packages[@]}"
      ;;
    *) die 2 "usage: scripts/install_deps.sh build|test|bench" ;;
  esac
}

main "$@"
