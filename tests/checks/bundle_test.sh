#!/usr/bin/env bash
# A bundle runs with nothing but LD_LIBRARY_PATH in its environment, and says so when LibTorch is not on it.
#
#   tests/checks/bundle_test.sh TORCH_ROOT
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
torch=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
source scripts/ready.sh
titan_ready release programs
tests=()
if [[ -x build/release/bin/ops_test ]]; then tests=(--tests); fi
scripts/bundle.sh "${tests[@]}" --no-build "$work/titan"
mv "$work/titan" "$work/elsewhere"  # Nothing may depend on where it was packed.
program=$(ls "$work/elsewhere/bin" | grep -x train)
cd "$work"
env -i LD_LIBRARY_PATH="$torch/lib" /bin/sh "$work/elsewhere/run" "$program" --help >"$work/help"
grep -q -- '--training.steps' "$work/help"
code=0
env -i /bin/sh "$work/elsewhere/run" "$program" --help >"$work/out" 2>&1 || code=$?
[[ $code == 2 ]] && grep -q 'no libtorch_cpu.so on LD_LIBRARY_PATH' "$work/out"
if [[ -n ${tests[*]} ]]; then
  env -i LD_LIBRARY_PATH="$torch/lib" /bin/sh "$work/elsewhere/run" ops_test --list-tests '[cuda]' >"$work/out" || true
  grep -qE '^[1-9][0-9]* matching' "$work/out"
fi
# Every library but LibTorch's and glibc's comes from the bundle.
strangers=$(LD_LIBRARY_PATH="$work/elsewhere/lib:$work/elsewhere/lib/fallback:$torch/lib" ldd "$work/elsewhere/bin/$program" |
  awk '$2 == "=>" {print $3}' | grep -vE "^($work/elsewhere|$(dirname "$torch"))/" |
  grep -vE '/(libc|libm|libdl|libpthread|librt|libresolv|libutil|libmvec)\.so' || true)
if [[ -n $strangers ]]; then echo "not in the bundle: $strangers"; exit 1; fi
echo "bundle: runs by itself"
