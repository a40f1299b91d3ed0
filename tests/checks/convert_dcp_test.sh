#!/usr/bin/env bash
# scripts/convert_dcp.py against torch's own DCP and against a run: convert_dcp_test.sh TRAIN
# Needs a Python with torch 2.11 (TITAN_PYTHON, else python3); skips without.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
python=${TITAN_PYTHON:-python3}
if ! "$python" -c 'import torch; assert torch.__version__.startswith("2.11")' 2>/dev/null; then
  echo "skipped: $python has no torch 2.11 (TITAN_PYTHON names another Python)"
  exit 77
fi
train=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
convert() { "$python" -W ignore scripts/convert_dcp.py "$@"; }
look() { "$python" -W ignore tests/checks/convert_dcp_test.py "$@"; }
fails_with() {  # fails_with TEXT COMMAND...: exit code 1 and one line with TEXT
  local text=$1 out
  shift
  if out=$("$@" 2>&1) || ! grep -qF -- "$text" <<<"$out" || grep -q Traceback <<<"$out"; then
    echo "FAILED: expected '$text' from $* and got: $out"
    exit 1
  fi
  echo "ok: $text"
}

look make "$work/dcp"
convert to-titan "$work/dcp" "$work/titan" --global-batch 8
look check "$work/dcp" "$work/titan/step-000012"
fails_with "exists already" convert to-titan "$work/dcp" "$work/titan"
convert to-dcp "$work/titan/step-000012" "$work/back"
look compare "$work/dcp" "$work/back/step-12"

fails_with "has no .metadata" convert to-titan "$work" "$work/none"
fails_with "is no checkpoint of titan" convert to-dcp "$work" "$work/none"
cp -r "$work/titan" "$work/flipped"
printf 'x' | dd of="$work/flipped/step-000012/rank-00000.safetensors" bs=1 seek=2000 conv=notrunc status=none
fails_with "is damaged" convert to-dcp "$work/flipped/step-000012" "$work/none"

# A run of ours, there and back again, goes on: the program accepts index and checksums.
tiny=(--config=debug --job.num_threads=1 --model.args.dim=32 --model.args.n_layers=2 --model.args.n_heads=4
      --training.dataset=synthetic --training.img_size=16 --training.batch_size=8 --training.seed=7
      --lr_scheduler.warmup_steps=2 --sampling.no-enable --checkpoint.enable_checkpoint --checkpoint.interval=3)
run() { "$train" "${tiny[@]}" "$@" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }; }
run --job.dump_folder="$work/run" --training.steps=6
convert to-dcp "$work/run/checkpoint/step-000003" "$work/theirs" --names same
convert to-titan "$work/theirs/step-3" "$work/again/checkpoint" --names same --global-batch 8 --seed 7
look same "$work/run/checkpoint/step-000003" "$work/again/checkpoint/step-000003"
run --job.dump_folder="$work/again" --training.steps=6 \
  --checkpoint.allow_change=model,dataset,objective,global_batch_size,seed
look same "$work/run/checkpoint/step-000006" "$work/again/checkpoint/step-000006"
echo "all passed"
