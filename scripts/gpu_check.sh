#!/usr/bin/env bash
# Everything that only a GPU can tell, inside ten minutes: the [cuda] tests, operators against the machine's ceilings, training
# steps beside PyTorch eager and compiled, FP8 against bfloat16, the whole of Flux on one device. Writes one Markdown page.
#
#   scripts/gpu_check.sh [--device cuda|cpu] [--out FOLDER] [--minutes N] [--python PROGRAM]
#
# Runs on a bare machine: a driver, Python with torch 2.11, no network. The programs come from build/bundle/titan (made with
# `scripts/bundle.sh --tests` and carried along), else from build/release. --device cpu rehearses every step with tiny shapes.
# The page and the logs go to FOLDER (default build/gpu_check); copy the page to docs/results/ when it is worth keeping.
# Exit code: 0 where every test passed and every measurement was made, 1 otherwise.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

device=cuda out=build/gpu_check minutes=9 python=python3
while [[ $# -gt 0 ]]; do
  case $1 in
    --device=*) device=${1#*=} ;; --out=*) out=${1#*=} ;; --minutes=*) minutes=${1#*=} ;; --python=*) python=${1#*=} ;;
    --device) device=$2; shift ;; --out) out=$2; shift ;; --minutes) minutes=$2; shift ;; --python) python=$2; shift ;;
    *) echo "gpu_check: unknown option $1 (known: --device, --out, --minutes, --python)" >&2; exit 2 ;;
  esac
  shift
done
[[ $device == cuda || $device == cpu ]] || { echo "gpu_check: --device is cuda or cpu (given $device)" >&2; exit 2; }
torch_lib=$("$python" -c 'import os, torch; print(os.path.join(os.path.dirname(torch.__file__), "lib"))' 2>/dev/null) || {
  echo "gpu_check: $python has no torch; name one that has with --python" >&2; exit 2; }
if [[ $device == cuda ]] && ! nvidia-smi -L >/dev/null 2>&1; then
  echo "gpu_check: no NVIDIA driver answers (nvidia-smi -L); --device cpu rehearses the steps" >&2; exit 2
fi
mkdir -p "$out" && out=$(realpath "$out")
: >"$out/failures"
deadline=$((SECONDS + minutes * 60))

# NVIDIA's libraries lie beside torch as wheels of their own.
libraries=$torch_lib
for folder in "$torch_lib"/../../nvidia/*/lib; do [[ -d $folder ]] && libraries+=:$folder; done
if [[ -x build/bundle/titan/run ]]; then
  programs=build/bundle/titan/bin
  run() { LD_LIBRARY_PATH=$libraries build/bundle/titan/run "$@"; }
  titan=$out/titan
  printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s/build/bundle/titan/run titan "$@"\n' "$libraries" "$PWD" >"$titan"
  chmod +x "$titan"
else
  programs=build/release/bin
  run() { local program=$1; shift; "$programs/$program" "$@"; }
  titan=$PWD/$programs/titan
fi
[[ -x $programs/titan ]] || { echo "gpu_check: no programs in $programs; run scripts/bundle.sh --tests" >&2; exit 2; }

# step NAME SECONDS COMMAND...: runs within its limit and the whole's; the log is kept, a failure noted.
step() {
  local name=$1 limit=$2 left=$((deadline - SECONDS)) began=$SECONDS
  shift 2
  if (( left < 10 )); then echo "$name: left out, the time is over" | tee -a "$out/failures"; return 1; fi
  (( limit < left )) || limit=$left
  local code=0
  timeout -k 5 "$limit" "$@" >"$out/$name.log" 2>&1 || code=$?
  if (( code == 0 )); then
    echo "$name: $((SECONDS - began)) s"
  elif (( code == 77 )) && [[ $device == cpu ]]; then
    echo "$name: skipped, it needs a GPU"
  else
    echo "$name: failed (exit code $code, log $name.log: $(tail -n 1 "$out/$name.log" | cut -c1-200))" | tee -a "$out/failures"
    return 1
  fi
}
export -f run
export programs libraries

if [[ $device == cuda ]]; then
  shape=(--hidden 3072 --heads 24 --double 5 --single 10 --size 32 --text 256 --dtype bfloat16)
  batches=(32 64) full_batch=8 bench=() steps=10
else
  shape=(--hidden 256 --heads 2 --double 1 --single 1 --size 8 --text 16)
  batches=(2) full_batch=1 bench=(--tokens 64 --heads 2) steps=2
fi

{
  date -u +"%F %H:%M UTC"
  if [[ $device == cuda ]]; then
    nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,clocks.max.sm,power.limit,temperature.gpu --format=csv
    nvidia-smi --query-compute-apps=pid,used_memory --format=csv
  fi
  "$python" -c 'import torch; print("torch", torch.__version__, "CUDA", torch.version.cuda)'
} >"$out/machine.txt" 2>&1

echo "| tests | result |" >"$out/tests.md"
echo "|---|---|" >>"$out/tests.md"
for program in "$programs"/*_test; do
  name=$(basename "$program")
  # Catch2 says how many there are; a program without any has nothing to prove here.
  count=$(run "$name" --list-tests "[cuda]" 2>/dev/null | grep -oE '^[0-9]+ matching' | cut -d' ' -f1)
  [[ ${count:-0} -gt 0 ]] || continue
  step "$name" 120 bash -c "run $name '[cuda]'"
  echo "| $name, $count cases | $(tail -n 3 "$out/$name.log" | grep -E 'passed|failed|skipped' | tail -n 1) |" >>"$out/tests.md"
done

step kernels 90 bash -c "'$titan' bench all --device $device ${bench[*]} --output '$out/kernels.md'"
for batch in "${batches[@]}"; do
  step "train_$batch" 240 "$python" scripts/bench_train.py --python "$python" --titan "$titan" --device "$device" "${shape[@]}" \
    --batch "$batch" --steps "$steps" --alone --compile --compile-modes default --out "$out/train_$batch.md" \
    --ours "plain ATen: --training.no-compile" --ours "float8: --model.converters=float8$([[ $device == cpu ]] && echo ' --float8.emulate')"
done
full_settings=(--model.name=flux --model.flavor=flux-schnell --training.dataset=flux_synthetic --dataset.image_size=32,32
  --training.mixed_precision_param=bfloat16 --training.mixed_precision_reduce=bfloat16 --optimizer.state_dtype=bfloat16
  --optimizer.master_weights=remainder --training.batch_size="$full_batch" --training.class_dropout_prob=0)
[[ $device == cuda ]] || full_settings+=(--model.args.hidden_size=128 --model.args.num_heads=1 --model.args.depth=1
  --model.args.depth_single_blocks=1 --encoder.max_t5_encoding_len=16)
step full_flux 150 bash -c "printf 'step\nstep\nstep\nstep\nstep\nmemory\n' | '$titan' bench step --job.device=$device ${full_settings[*]}"

page=$out/gpu_check.md
{
  echo "# What a GPU said"; echo
  echo "Command: \`scripts/gpu_check.sh --device $device\`. Machine:"; echo; echo '```'; cat "$out/machine.txt"; echo '```'; echo
  cat "$out/tests.md"; echo
  cat "$out/kernels.md" 2>/dev/null; echo
  for batch in "${batches[@]}"; do sed 's/^# /## /' "$out/train_$batch.md" 2>/dev/null; echo; done
  echo "## All of Flux (19 + 38 blocks) on one device, micro-batch $full_batch"; echo
  echo "\`titan bench step ${full_settings[*]}\`: FLOPs of a step; seconds and loss of each step; bytes at most:"; echo
  echo '```'; cat "$out/full_flux.log" 2>/dev/null; echo '```'; echo
  echo "## Not made"; echo
  if [[ -s $out/failures ]]; then sed 's/^/- /' "$out/failures"; else echo "Nothing: every test passed, every measurement was made."; fi
} >"$page"
echo "[gpu_check] $page; $(wc -l <"$out/failures") failures; $SECONDS s"
[[ ! -s $out/failures ]]
