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

# The rivals' driver, with programs that play titan: a full standard error stops nobody, warnings are shown, a failure is a row and
# an exit code, and who starts late has not waited for the others.
cat >"$folder/player" <<'PLAYER'
#!/bin/sh
head -c 300000 /dev/zero >&2
echo >&2
case "$*" in *--broken*) echo "Error: out of memory" >&2; exit 2 ;; esac
echo "W20260101 00:00:00.000000  1 player.cpp:1] [graph] off: a player" >&2
echo "ready 1000000000000"
while read -r line; do
  case $line in memory) echo 1073741824 ;; *) sleep "$PLAYER_S"; echo "0.2 1.0" ;; esac
done
PLAYER
chmod +x "$folder/player"
drive() { python3 scripts/bench_train.py --titan "$folder/player" --no-eager --steps 2 --out "$folder/drive.md" "$@" >/dev/null 2>"$folder/err"; }
export PLAYER_S=0.3  # a program that waited for another's warm-up would show 1.8 s
drive --ours "second: --x" --ours "third: --x" || fail "bench_train.py: $(cat "$folder/err")"
for name in titan "titan, second" "titan, third"; do
  grep -qE "^\| $name \| 0\.200 \|.* 5\.000 \| 1\.00 \| (0\.[0-9]|1\.[0-5]) \| 1\.00x \| 1\.00x \|" "$folder/drive.md" || fail "no figures of $name: $(cat "$folder/drive.md")"
done
grep -qF '[graph] off: a player (titan; titan, second; titan, third)' "$folder/drive.md" || fail "bench_train.py hides a warning"
export PLAYER_S=0
code=0
drive --alone --ours "broken: --broken" || code=$?
[[ $code == 3 ]] && grep -qF '| titan, broken | failed: Error: out of memory |' "$folder/drive.md" && grep -q '^| titan, again | 0.200 ' "$folder/drive.md" ||
  fail "bench_train.py with a failing rival: exit code $code, $(cat "$folder/drive.md")"
drive --ours "broken: --broken" --may-fail "titan, broken" || fail "bench_train.py --may-fail: $(cat "$folder/err")"

# Three kernels, two of them at one time; attention is no matrix product, whatever its name says.
cat >"$folder/trace.json" <<'TRACE'
{"traceEvents": [{"ph": "X", "cat": "kernel", "name": "nvjet_tst", "ts": 0, "dur": 600}, {"ph": "X", "cat": "cpu_op", "name": "gemm", "ts": 0, "dur": 9},
 {"ph": "X", "cat": "kernel", "name": "cudnn_sdpa_gemm", "ts": 700, "dur": 300}, {"ph": "X", "cat": "gpu_memcpy", "name": "Memcpy", "ts": 900, "dur": 100}]}
TRACE
python3 scripts/kernel_shares.py "$folder/trace.json" --steps 2 >"$folder/out"
for row in "busy in 90.0 % of the 1.0 ms" "| matrix products | 0.5 | 0.300 | 60.0 %" "| attention | 0.5 | 0.150 | 30.0 %" "| copies | 0.5 | 0.050 | 10.0 %"; do
  grep -qF "$row" "$folder/out" || fail "kernel_shares.py lacks \"$row\": $(cat "$folder/out")"
done

for wrong in "nothing" "kernels --dtype float16" "kernels --tokens 0" "kernels --colour red" "collectives --job.device=cpu"; do
  code=0
  # shellcheck disable=SC2086
  "$titan" bench $wrong >/dev/null 2>"$folder/err" || code=$?
  [[ $code == 2 && -s $folder/err ]] || fail "titan bench $wrong: exit code $code, $(cat "$folder/err")"
done
echo "bench_test: all parts ran"
