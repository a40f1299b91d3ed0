#!/usr/bin/env bash
# Install a build, compile tests/consumer/tiny against the installed prefix alone, train a few steps with it.
#
#   tests/consumer/run.sh BUILD_FOLDER
set -euo pipefail
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/tiny
build=$(cd "$1" && pwd)
work=$build/consumer
rm -rf "$work/prefix" "$work/run"
cmake --build "$build" --target programs >"$build/consumer-build.log"
cmake --install "$build" --prefix "$work/prefix" >"$build/consumer-install.log"
launcher=$(command -v ccache || true)
cmake -S "$source_dir" -B "$work/tiny" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$work/prefix" \
  ${launcher:+-DCMAKE_CXX_COMPILER_LAUNCHER=$launcher}
cmake --build "$work/tiny"
if grep -q "$(dirname "$(dirname "$source_dir")")/titan" "$work/tiny/build.ninja"; then
  echo "the program was compiled against the source tree, not the prefix"
  exit 1
fi
mkdir "$work/run" && cd "$work/run"
"$work/tiny/tiny" --model.name=tiny --training.dataset=synthetic --training.steps=3 --training.batch_size=4 \
  --training.seed=1 --job.dump_folder="$work/run/out"
[[ $(grep -c '"kind": *"train"' out/metrics.jsonl) -ge 1 ]]
# A name that is not there says which are.
code=0
"$work/tiny/tiny" --model.name=nothing --training.dataset=synthetic --training.steps=3 \
  --job.dump_folder="$work/run/none" >out/none.log 2>&1 || code=$?
[[ $code == 2 ]] && grep -q tiny out/none.log
echo "consumer: built from the prefix, trained"
