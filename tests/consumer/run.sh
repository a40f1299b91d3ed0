#!/usr/bin/env bash
# The promise that a program outside the repository can bring its own model: install a build, move the prefix, compile
# examples/ against it alone, train with them.
#
#   tests/consumer/run.sh BUILD_FOLDER
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
examples=$(cd "$here/../../examples" && pwd)
build=$(cd "$1" && pwd)
work=$build/consumer
fail() { echo "consumer: $*" >&2; exit 1; }

rm -rf "$work/first" "$work/prefix" "$work/run"
mkdir -p "$work/run"
cmake --install "$build" --prefix "$work/first" >"$work/install.log"
mv "$work/first" "$work/prefix"
export CMAKE_PREFIX_PATH=$work/prefix
launcher=$(command -v ccache || true)
configure() {  # configure SOURCE FOLDER [OPTIONS]
  cmake -S "$1" -B "$2" -G Ninja -DCMAKE_BUILD_TYPE=Release ${launcher:+-DCMAKE_CXX_COMPILER_LAUNCHER=$launcher} "${@:3}"
}
refused() {  # refused EXPECTED CODE COMMAND...: ends with this code and says this
  local expected=$1 wanted=$2 code=0
  "${@:3}" >"$work/run/refused.log" 2>&1 || code=$?
  [[ $code == "$wanted" ]] || { cat "$work/run/refused.log" >&2; fail "exit code $code instead of $wanted: ${*:3}"; }
  tr '\n' ' ' <"$work/run/refused.log" | grep -qE "$expected" ||
    { cat "$work/run/refused.log" >&2; fail "not said: $expected"; }
}
losses() { python3 -c '
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
print(*[row["loss"] for row in rows if row["kind"] == "train"])' "$1"; }

# Another version is refused by name, a LibTorch that is not there too.
mkdir -p "$work/version"
for version in 0.2 1.0 0.1.999; do
  printf 'cmake_minimum_required(VERSION 3.25)\nproject(v LANGUAGES NONE)\nfind_package(titan %s REQUIRED)\n' $version \
    >"$work/version/CMakeLists.txt"
  refused "requested version *\"$version\"" 1 cmake -S "$work/version" -B "$work/version/build"
done
refused "LibTorch 2.11.0 was not found.*/nowhere" 1 \
  configure "$examples/sandwich_dit" "$work/no_torch" -DTITAN_LIBTORCH=/nowhere

# A model of one's own.
lines=$(cat "$examples"/sandwich_dit/* | wc -l)
(( lines < 100 )) || fail "examples/sandwich_dit has $lines lines; below 100 are promised"
for example in sandwich_dit own_data; do
  configure "$examples/$example" "$work/$example" >"$work/$example.log" || { cat "$work/$example.log"; exit 1; }
  cmake --build "$work/$example"
  ! grep -qE "$(dirname "$examples")/titan|$work/first" "$work/$example/build.ninja" ||
    fail "$example was compiled against the source tree, not the prefix"
done
cd "$work/run"
sandwich=("$work/sandwich_dit/sandwich_dit" --config "$examples/sandwich_dit/sandwich_dit.toml" --training.seed=1
  --metrics.log_freq=1)
"${sandwich[@]}" --job.dump_folder=one >one.log 2>&1 || { cat one.log; exit 1; }
read -ra one < <(losses one/metrics.jsonl)
[[ ${#one[@]} == 100 ]] || fail "${#one[@]} steps instead of 100"
python3 -c 'import sys; a = [float(x) for x in sys.argv[1:]]; sys.exit(not sum(a[-5:]) < 0.65 * sum(a[:5]))' "${one[@]}" ||
  fail "the loss does not fall: ${one[*]}"
# Sharded over two ranks, the same global batch: the same losses, without a line in the model about it.
NGPU=2 "${sandwich[@]}" --job.dump_folder=two --training.batch_size=4 --training.steps=5 \
  --parallelism.data_parallel_shard_degree=2 >two.log 2>&1 || { cat two.log; exit 1; }
read -ra two < <(losses two/metrics.jsonl)
python3 -c '
import sys
a, b = [[float(x) for x in text.split()] for text in sys.argv[1:]]
sys.exit(not all(abs(x - y) < 1e-4 * x for x, y in zip(a, b)))' "${one[*]:0:5}" "${two[*]}" ||
  fail "two ranks differ from one: ${one[*]:0:5} and ${two[*]}"
refused "unknown model.*sandwich_dit|sandwich_dit.*" 2 "${sandwich[@]}" --job.dump_folder=none --model.name=nothing
refused "4 x heads must divide dim \(dim=64\)" 2 "${sandwich[@]}" --job.dump_folder=none --model.args.heads=5
refused "model.args.width" 2 "${sandwich[@]}" --job.dump_folder=none --model.args.width=5

# titan's programs run where the prefix was moved to. They and programs of others find its configs; this one is nowhere
# else.
cp "$work/prefix/share/titan/train_configs/debug.toml" "$work/prefix/share/titan/train_configs/of_the_prefix.toml"
"$work/prefix/bin/train" --config of_the_prefix --training.steps=2 --sampling.enable=false >train.log 2>&1 ||
  { cat train.log; exit 1; }
[[ -d outputs/of_the_prefix/checkpoint/step-000002 ]] || { cat train.log; fail "no checkpoint"; }
"$work/prefix/bin/titan" --help >/dev/null

# A data set of one's own, trained on from inside a program.
"$work/own_data/own_data" --config=of_the_prefix >own.log 2>&1 || { cat own.log; exit 1; }
grep -q "own_data: the loss fell from" own.log || { cat own.log; fail "own_data did not learn"; }

torch=$(sed -n 's/^set(TITAN_LIBTORCH_BUILT_WITH "\(.*\)")/\1/p' "$work/prefix"/lib*/cmake/titan/titanConfig.cmake)
python3 "$here/headers.py" "$work/prefix" "$torch" "${CXX:-c++}"
echo "consumer: sandwich_dit ($lines lines) trained from the prefix, loss ${one[0]} to ${one[99]}"
