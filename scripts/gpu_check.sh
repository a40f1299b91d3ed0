#!/usr/bin/env bash
# What only a GPU can tell, inside ten minutes a call: the [cuda] tests, operators against the machine's ceilings, training steps
# beside PyTorch eager and compiled, FP8 against bfloat16, the whole of Flux on one device. Writes one Markdown page.
#
#   scripts/gpu_check.sh [--only PART[,PART...]] [--device cuda|cpu] [--out FOLDER] [--minutes N] [--python PROGRAM]
#
# Parts, in the order in which they run (--only: in the order given):
#   train64   a step of Flux 5 + 10 at micro-batch 64: titan, float8, eager (may run out of memory), torch.compile    4 min
#   full      a step of all of Flux, 19 + 38 blocks, at micro-batch 8                                                 2 min
#   tests     the [cuda] test cases; one that is skipped for want of a GPU is a failure                               1 min
#   kernels   titan bench kernels, attention, products                                                                1 min
#   shares    a trace of steps at micro-batch 64: matrix products, attention, titan's kernels, copies                 1 min
#   train32   as train64, micro-batch 32, with plain ATen                                                             5 min
#   autotune  micro-batch 32: titan beside torch.compile's max-autotune                                               5 min
#
# Runs on a bare machine: a driver, Python with torch 2.11, no network. The programs come from build/bundle/titan.tar.gz (made with
# `scripts/bundle.sh --tests` and carried along), else from build/release. --device cpu rehearses every step with tiny shapes.
# FOLDER (default build/gpu_check) gets two files, written again after each step: gpu_check.md and logs.tar.gz. The page is the last
# that is printed; copy it to docs/results/ when it is worth keeping.
# Exit code: 0 where every test passed and every measurement was made, 1 otherwise.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2

device=cuda out=build/gpu_check minutes=9 python=python3 only=train64,full,tests,kernels,shares,train32,autotune
while [[ $# -gt 0 ]]; do
  case $1 in
    --device=*) device=${1#*=} ;; --out=*) out=${1#*=} ;; --minutes=*) minutes=${1#*=} ;; --python=*) python=${1#*=} ;;
    --only=*) only=${1#*=} ;; --only) only=$2; shift ;;
    --device) device=$2; shift ;; --out) out=$2; shift ;; --minutes) minutes=$2; shift ;; --python) python=$2; shift ;;
    *) echo "gpu_check: unknown option $1 (known: --only, --device, --out, --minutes, --python)" >&2; exit 2 ;;
  esac
  shift
done
IFS=, read -ra parts <<<"$only"
for part in "${parts[@]}"; do
  [[ $part =~ ^(train64|full|tests|kernels|shares|train32|autotune)$ ]] || {
    echo "gpu_check: no part $part (known: train64, full, tests, kernels, shares, train32, autotune)" >&2; exit 2; }
done
[[ $device == cuda || $device == cpu ]] || { echo "gpu_check: --device is cuda or cpu (given $device)" >&2; exit 2; }
torch_lib=$("$python" -c 'import os, torch; print(os.path.join(os.path.dirname(torch.__file__), "lib"))' 2>/dev/null) || {
  echo "gpu_check: $python has no torch; name one that has with --python" >&2; exit 2; }
if [[ $device == cuda ]] && ! nvidia-smi -L >/dev/null 2>&1; then
  echo "gpu_check: no NVIDIA driver answers (nvidia-smi -L); --device cpu rehearses the steps" >&2; exit 2
fi
mkdir -p "$out" && out=$(realpath "$out")
rm -f "$out/gpu_check.md" "$out/logs.tar.gz"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/logs" "$work/pages"
failures=$work/logs/failures
: >"$failures"
deadline=$((SECONDS + minutes * 60))

# $work/run_program PROGRAM ARGUMENTS... and $titan ARGUMENTS... start the programs. NVIDIA's libraries lie beside torch as wheels of
# their own; the driver's may lie where only the machine's LD_LIBRARY_PATH says.
libraries=$torch_lib
for folder in "$torch_lib"/../../nvidia/*/lib; do [[ -d $folder ]] && libraries+=:$folder; done
libraries+=${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
if [[ -e build/bundle/titan.tar.gz ]]; then
  tar -C "$work" -xzf build/bundle/titan.tar.gz || exit 2
  programs=$work/titan/bin
  printf "#!/bin/sh\nLD_LIBRARY_PATH='%s' exec '%s/titan/run' \"\$@\"\n" "$libraries" "$work" >"$work/run_program"
else
  programs=$PWD/build/release/bin
  printf "#!/bin/sh\nprogram=\$1; shift\nexec '%s'/\"\$program\" \"\$@\"\n" "$programs" >"$work/run_program"
fi
printf "#!/bin/sh\nexec '%s/run_program' titan \"\$@\"\n" "$work" >"$work/titan.sh"
chmod +x "$work/run_program" "$work/titan.sh"
titan=$work/titan.sh
[[ -x $programs/titan ]] || { echo "gpu_check: no programs in $programs; run scripts/bundle.sh --tests" >&2; exit 2; }

fail() { echo "$*" | tee -a "$failures"; }

# The page so far: a call that is cut leaves what was measured.
write_page() {
  {
    echo "# What a GPU said"; echo
    echo "Command: \`scripts/gpu_check.sh --device $device --only $only\`. Machine:"; echo
    echo '```'; cat "$work/logs/machine"; echo '```'; echo
    local part
    for part in "${parts[@]}"; do
      if [[ -s $work/pages/$part.md ]]; then sed 's/^# /## /' "$work/pages/$part.md"; echo; fi
    done
    echo "## Failed or not made"; echo
    if [[ -s $failures ]]; then
      sed 's/^/- /' "$failures"
    elif [[ ${1:-} == last ]]; then
      if [[ $device == cuda ]]; then echo "Nothing: every test passed, every measurement was made."
      else echo "Nothing failed in this rehearsal; what needs a GPU was skipped."; fi
    else
      echo "Not finished yet."
    fi
  } >"$out/gpu_check.md"
  tar -C "$work" -czf "$out/logs.tar.gz" logs pages
}

# step NAME SECONDS COMMAND...: runs within its limit and the whole's; the log is kept, a failure noted.
step() {
  local name=$1 limit=$2 left=$((deadline - SECONDS)) began=$SECONDS code=0
  shift 2
  if (( left < 10 )); then fail "$name: left out, the time is over"; write_page; return 1; fi
  (( limit < left )) || limit=$left
  timeout -k 5 "$limit" "$@" >"$work/logs/$name.log" 2>&1 || code=$?
  if (( code == 0 )); then
    echo "$name: $((SECONDS - began)) s"
  elif (( code == 77 )) && [[ $device == cpu ]]; then
    echo "$name: skipped, it needs a GPU"
  elif (( code == 124 || code == 137 )); then
    fail "$name: not over after $limit s"
  else
    fail "$name: exit code $code, $(tail -n 1 "$work/logs/$name.log" | cut -c1-300)"
  fi
  write_page
  (( code == 0 ))
}

# bench PART SECONDS OPTIONS...: bench_train.py, each program alone on the device.
bench() {
  local part=$1 limit=$2
  shift 2
  step "$part" "$limit" "$python" scripts/bench_train.py --python "$python" --titan "$titan" --device "$device" --dtype "$dtype" \
    --alone --out "$work/pages/$part.md" --logs "$work/logs/$part" "$@"
}

float8=(--ours "float8: --model.converters=float8$([[ $device == cpu ]] && echo ' --float8.emulate')")
if [[ $device == cuda ]]; then
  dtype=bfloat16 steps=30 full_steps=12 sizes=()
  shape=(--hidden 3072 --heads 24 --double 5 --single 10) full_shape=(--hidden 3072 --heads 24 --double 19 --single 38)
  common=(--size 32 --text 256 --threads "$(nproc)") big=64 small=32 full_batch=8
else
  dtype=float32 steps=2 full_steps=2 sizes=(--tokens 64 --heads 2)
  shape=(--hidden 256 --heads 2 --double 1 --single 1) full_shape=(--hidden 128 --heads 1 --double 2 --single 2)
  common=(--size 8 --text 16) big=4 small=2 full_batch=1
fi

part_train64() {
  bench train64 300 "${shape[@]}" "${common[@]}" --batch "$big" --steps "$steps" --compile --compile-modes default --may-fail eager \
    "${float8[@]}"
}
part_train32() {
  bench train32 330 "${shape[@]}" "${common[@]}" --batch "$small" --steps "$steps" --compile --compile-modes default "${float8[@]}" \
    --ours "plain ATen: --training.no-compile"
}
part_autotune() {
  bench autotune 500 "${shape[@]}" "${common[@]}" --batch "$small" --steps "$steps" --compile --compile-modes max-autotune --no-eager
}
# Ten bytes a parameter; what attention and the matrix products made is kept, the rest is computed again: 126 of 131 GiB by
# `titan plan`, 138 without.
part_full() {
  bench full 230 "${full_shape[@]}" "${common[@]}" --batch "$full_batch" --steps "$full_steps" --no-eager --settings \
    "--training.mixed_precision_reduce=bfloat16 --optimizer.state_dtype=bfloat16 --optimizer.master_weights=remainder$(
    )$([[ $device == cpu ]] && echo ' --training.mixed_precision_param=bfloat16'
    ) --activation_checkpoint.mode=selective --activation_checkpoint.selective_ac_option=op --activation_checkpoint.keep_matmul_every=1"
}
# The trainer's own steps: its loader is part of them, and the device may wait for it; the shares are of the kernels' time.
part_shares() {
  local size trace=$work/run/profile_traces/step-000012/rank-00000.json
  size=(--model.args.hidden_size="${shape[1]}" --model.args.num_heads="${shape[3]}" --model.args.depth="${shape[5]}"
    --model.args.depth_single_blocks="${shape[7]}" --model.args.axes_dim=16,56,56 --encoder.max_t5_encoding_len="${common[3]}"
    --dataset.image_size="${common[1]},${common[1]}" --training.batch_size="$big")
  step shares 150 "$work/run_program" train --config=flux_debug --model.flavor=flux-schnell "${size[@]}" --encoder.context_in_dim=4096 \
    --encoder.vec_in_dim=768 --training.mixed_precision_param="$dtype" --training.class_dropout_prob=0 --training.steps=12 \
    --eval.dataset= --checkpoint.no-enable_checkpoint --ema.no-enable --sampling.no-enable --job.device="$device" \
    --job.dump_folder="$work/run" --profiling.enable_profiling --profiling.profile_freq=12 --profiling.profiler_warmup=2 \
    --profiling.profiler_active=2 &&
    step kernel_shares 60 bash -c "'$python' scripts/kernel_shares.py '$trace' --steps 2 >'$work/pages/shares.md'"
}
part_kernels() {
  local what
  for what in attention products kernels; do
    step "$what" 120 "$titan" bench "$what" --device "$device" "${sizes[@]}" --output "$work/pages/kernels.md"
  done
}
part_tests() {
  local program name count skipped total=0 table=$work/pages/tests.md
  printf '| tests | result |\n|---|---|\n' >"$table"
  for program in "$programs"/*_test; do
    name=$(basename "$program")
    # Catch2 says how many there are, a search of the file that there can be any.
    grep -qaF '[cuda]' "$program" || continue
    count=$("$work/run_program" "$name" --list-tests "[cuda]" 2>/dev/null | grep -oE '^[0-9]+ matching' | cut -d' ' -f1)
    [[ ${count:-0} -gt 0 ]] || continue
    total=$((total + count))
    step "$name" 120 "$work/run_program" "$name" "[cuda]"
    skipped=$(grep -c '^SKIPPED' "$work/logs/$name.log")
    echo "| $name, $count cases, $skipped skipped | $(grep -E '^(All tests passed|test cases:)' "$work/logs/$name.log" | tail -n 1) |" >>"$table"
    if [[ $device == cuda && $skipped -gt 0 ]]; then fail "$name: $skipped skipped: $(grep -m 1 '^SKIPPED' "$work/logs/$name.log")"; fi
    write_page
  done
  (( total > 0 )) || fail "tests: no program with [cuda] cases in $programs"
}

{
  date -u +"%F %H:%M UTC"
  if [[ $device == cuda ]]; then
    nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,clocks.max.sm,power.limit,temperature.gpu --format=csv
    nvidia-smi --query-compute-apps=pid,used_memory --format=csv
  fi
  "$python" -c 'import torch; print("torch", torch.__version__, "CUDA", torch.version.cuda)'
} >"$work/logs/machine" 2>&1

for part in "${parts[@]}"; do "part_$part"; done
write_page last
echo "[gpu_check] $out/gpu_check.md; $(wc -l <"$failures") failures; $SECONDS s"
cat "$out/gpu_check.md"
[[ ! -s $failures ]]
