#!/usr/bin/env bash
# titan bench: every part runs on tiny shapes, prints a table with a figure in each row, and refuses what it does not know.
#   bench_test.sh TITAN
set -euo pipefail
titan=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { echo "bench_test: $*" >&2; exit 1; }

"$titan" bench all --device cpu --batch 1 --tokens 32 --heads 2 --head-dim 64 --threads 1 --output "$folder/page.md" >"$folder/out"
for row in "norm, modulate" "residual, norm, modulate backward" "swiglu" "rope" "norm, clip and AdamW" "attention, S=32, head 64 backward" "linear 32 x 128"; do
  grep -F "| $row" "$folder/out" | grep -qE '[0-9.]+ (GB/s|GFLOP/s) \| [0-9]+ % \| [0-9.]+x' || fail "no figure for $row"
done
cmp -s <(cat "$folder/out"; echo) "$folder/page.md" || fail "--output differs from what was printed"

tiny=(--model.name=dit --model.flavor=debugmodel --training.dataset=synthetic --dataset.image_size=16,16 --dataset.num_classes=4
  --training.batch_size=2 --job.device=cpu)
answer=$(printf 'step\nmemory\nstep\n' | "$titan" bench step "${tiny[@]}" 2>"$folder/err")
[[ $(wc -l <<<"$answer") == 4 && $answer == ready* ]] || fail "bench step said: $answer"
[[ $(sed -n 2p <<<"$answer") =~ ^[0-9.e-]+\ [0-9.e-]+$ ]] || fail "no seconds and loss: $answer"
"$titan" bench loader "${tiny[@]}" 2>>"$folder/err" | grep -qE '^\| [0-9]+ \| [0-9.]+ \| [0-9]+ \|' || fail "no loader figures"
NGPU=2 "$titan" bench collectives --job.device=cpu 2>>"$folder/err" | grep -cE '\| (1|4|16|64) \| [0-9.]+ \(Gloo [0-9.]+, [0-9.]+x\) \|' | grep -qx 4 || fail "no collectives"

for wrong in "nothing" "kernels --dtype float16" "kernels --tokens 0" "kernels --colour red" "collectives --job.device=cpu"; do
  code=0
  # shellcheck disable=SC2086
  "$titan" bench $wrong >/dev/null 2>"$folder/err" || code=$?
  [[ $code == 2 && -s $folder/err ]] || fail "titan bench $wrong: exit code $code, $(cat "$folder/err")"
done
echo "bench_test: all parts ran"
