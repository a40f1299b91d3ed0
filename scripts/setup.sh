#!/usr/bin/env bash
# Prepare a machine to build and run titan, and say what was done.
#
#   scripts/setup.sh [--with-cuda] [--with-nvcc] [--with-tests] [--no-packages]
#
# 1. system packages (scripts/packages.txt): by apt where root or sudo is there, else into the cache, for this user alone
#    (scripts/fetch_packages.sh)
# 2. LibTorch (scripts/wheels.txt) into ${TITAN_CACHE:-~/.cache/titan}, unless TITAN_LIBTORCH or an importable
#    Python torch of the same version is there
# 3. libraries that are built in from source (scripts/sources.txt) into the same cache
# 4. git hooks of this clone
#
# --with-cuda    also NVIDIA's libraries, which are otherwise fetched only where a driver is found
# --with-nvcc    also CUDA's compiler, for machines (and images) without a CUDA toolkit; implies --with-cuda
# --with-tests   also the packages that only tests need
# --no-packages  leave system packages alone
#
# Running it again changes nothing and takes well under a second. Exit code 2: something outside must change.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly version=2.11.0
cache=${TITAN_CACHE:-${HOME:+$HOME/.cache/titan}}

say() { echo "[setup] $*"; }
fail() { echo "[setup] error: $*" >&2; exit 2; }

with_cuda=false
with_nvcc=false
with_tests=false
packages=true
for argument in "$@"; do
  case $argument in
    --with-cuda) with_cuda=true ;;
    --with-nvcc) with_cuda=true with_nvcc=true ;;
    --with-tests) with_tests=true ;;
    --no-packages) packages=false ;;
    -h | --help) sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) fail "unknown option: $argument (known: --with-cuda, --with-nvcc, --with-tests, --no-packages)" ;;
  esac
done
[[ -n $cache ]] || fail "HOME is not set: set it, or TITAN_CACHE to a folder for LibTorch and packages (3 GB)"
if ! mkdir -p "$cache" 2>/dev/null || [[ ! -w $cache ]]; then
  fail "$(id -un) cannot write $cache, where LibTorch and packages go: set TITAN_CACHE to a folder on a disk of your own (3 GB)"
fi
if [[ -e /proc/driver/nvidia/version ]] || nvidia-smi -L >/dev/null 2>&1; then with_cuda=true; fi

wanted_packages() {
  awk -v tests="$with_tests" '!/^#/ && NF > 0 && (NF == 1 || tests == "true") {print $1}' scripts/packages.txt
}

missing_packages() {
  local package
  while read -r package; do
    [[ $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) == ii* ]] || echo "$package"
  done < <(wanted_packages)
}

# Why apt failed: lists that could not be fetched, from which its own error follows, come first.
apt_said() {
  { grep -m1 'Failed to fetch' "$1" || true; grep -m1 '^E:' "$1" || tail -n1 "$1"; } | uniq | paste -sd ';' | sed 's,;E:,; E:,'
}

# Without root: a folder of our own, which scripts/ready.sh then builds with.
fetch_packages() {
  local prefix=$cache/packages wanted
  if [[ $with_tests == true ]]; then
    say "without root, packages that tests alone need are left out ($(awk '$2 == "tests" {print $1}' scripts/packages.txt | paste -sd ' ')): those tests are skipped, and say why"
    with_tests=false
  fi
  if [[ -z $(missing_packages) ]]; then
    say "system packages: all that a build needs are installed"
    return
  fi
  mapfile -t wanted < <(wanted_packages)
  scripts/fetch_packages.sh "$prefix" "${wanted[@]}" || exit $?
  mkdir -p build && echo "$prefix" >build/.packages
  source "$prefix/environment.sh"
}

install_packages() {
  if ! command -v dpkg-query >/dev/null; then
    say "not a Debian system: packages are left to you (scripts/packages.txt has Debian's names)"
    return
  fi
  local missing as_root=()
  rm -f build/.packages
  mapfile -t missing < <(missing_packages)
  if [[ ${#missing[@]} == 0 ]]; then
    say "system packages: all $(wanted_packages | wc -l) are installed"
    return
  fi
  local command="apt-get install -y --no-install-recommends ${missing[*]}"
  if [[ $(id -u) != 0 ]]; then
    if ! sudo -n true 2>/dev/null; then
      say "${#missing[@]} system packages are missing; with root it would be: $command"
      fetch_packages
      return
    fi
    as_root=(sudo -n)
  fi
  say "installing ${#missing[@]} system packages: ${missing[*]}"
  local log
  log=$(mktemp)
  if ! { "${as_root[@]}" apt-get update && DEBIAN_FRONTEND=noninteractive "${as_root[@]}" $command; } >"$log" 2>&1; then
    fail "apt-get failed: $(apt_said "$log") (whole output in $log)"
  fi
  rm -f "$log"
}

# What set-up itself runs (Python), and what a build does, whoever installed it.
need_programs() {
  local program missing=()
  for program in "$@"; do command -v "$program" >/dev/null || missing+=("$program"); done
  if [[ $packages == true && -z $(type -p "${CXX:-c++}" g++ clang++ || true) ]]; then missing+=("a C++ compiler"); fi
  [[ ${#missing[@]} == 0 ]] ||
    fail "not on this machine: $(printf '%s, ' "${missing[@]}" | sed 's/, $//'); install or load them (Debian's names are in scripts/packages.txt)"
}

holds_libtorch() {
  [[ -e $1/lib/libtorch_cpu.so && -e $1/include/torch/headeronly/version.h ]] || return 1
  local header=$1/include/torch/headeronly/version.h found
  found=$(sed -n 's/^#define TORCH_VERSION_\(MAJOR\|MINOR\|PATCH\) //p' "$header" | paste -sd.)
  [[ $found == "$version" ]]
}

find_libtorch() {
  if [[ -n ${TITAN_LIBTORCH:-} ]]; then
    holds_libtorch "$TITAN_LIBTORCH" || fail "TITAN_LIBTORCH=$TITAN_LIBTORCH does not hold LibTorch $version"
    say "LibTorch $version: TITAN_LIBTORCH=$TITAN_LIBTORCH"
    return
  fi
  local python_torch
  python_torch=$(python3 -c \
    "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])" 2>/dev/null || true)
  if [[ -n $python_torch ]] && holds_libtorch "$python_torch"; then
    say "LibTorch $version: Python's torch in $python_torch"
    return
  fi
  local options=()
  if [[ $with_cuda == true ]]; then options=(--with-cuda); fi
  if [[ $with_nvcc == true ]]; then options+=(--with-nvcc); fi
  python3 scripts/fetch_libtorch.py --cache "$cache" "${options[@]}"
}

install_hooks() {
  [[ -e .git ]] && command -v git >/dev/null || return 0
  if [[ $(git config core.hooksPath || true) != .githooks ]]; then
    git config core.hooksPath .githooks && say "git hooks: .githooks"
  fi
}

if [[ $packages == true ]]; then
  install_packages
  need_programs python3 cmake ninja pkg-config
else
  if [[ -e build/.packages ]]; then source "$(<build/.packages)/environment.sh"; fi
  need_programs python3
fi
find_libtorch
python3 scripts/fetch_sources.py --cache "$cache"
install_hooks
say "done; ./run_train.sh trains, ./run_tests.sh tests"
