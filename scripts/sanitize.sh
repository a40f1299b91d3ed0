#!/usr/bin/env bash
# Build the named folders' tests under a sanitizer and run them.
#
#   scripts/sanitize.sh asan|tsan [FOLDER...]      without folders: every test of every folder
#
# libgomp is not instrumented: tsan would see a race in every at::parallel_for, so ATen runs on one thread there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
kind=${1:?usage: scripts/sanitize.sh asan|tsan [FOLDER...]}
shift
source scripts/ready.sh
export OMP_NUM_THREADS=1
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export LSAN_OPTIONS=suppressions=$PWD/scripts/lsan.supp:print_suppressions=0
export TSAN_OPTIONS=suppressions=$PWD/scripts/tsan.supp:halt_on_error=1

if [[ $# == 0 ]]; then
  titan_ready "$kind" all
  exec ctest --test-dir "build/$kind" --output-on-failure -LE 'lint|sanitize|consumer'
fi
# Only what these folders' tests can reach is built; a tree of its own, so that the whole one keeps its settings.
# `fuzz`: the targets of tests/fuzz in one program (asan).
folder=build/$kind-part
folders="base;kernels;config;io;memory;data"
for above in ops protocols parallel checkpoint; do  # checkpoint: the asynchronous save
  if [[ " $* " == *" $above "* ]]; then folders="base;kernels;config;io;memory;ops;data;protocols;parallel;checkpoint"; fi
done
for above in tokenizers metrics models optim; do
  if [[ " $* " == *" $above "* ]]; then folders="base;kernels;config;io;memory;ops;data;tokenizers;metrics;protocols;parallel;models;optim;checkpoint"; fi
done
cmake --preset "$kind" -B "$folder" "-DTITAN_FOLDERS=$folders" -DTITAN_BUILD_BENCHES=OFF >"$folder.log" 2>&1 ||
  { tail -n 30 "$folder.log"; exit 1; }
ninja -C "$folder" "${@/%/_test}" | titan_build_lines
pattern=$(IFS='|'; echo "$*")
exec ctest --test-dir "$folder" --output-on-failure --no-tests=error -R "^($pattern)(\\.|\$)"
