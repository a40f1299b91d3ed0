#!/usr/bin/env bash
# Every stage of a text-to-image job on real photographs: preprocess, train, evaluate, sample, decode.
#
#   scripts/end_to_end.sh [PHOTOS] [OUTPUT]
#
# PHOTOS: a folder of webdataset tars (../shared/data/cc12m_test); OUTPUT: a new folder (outputs/end_to_end).
# What each stage made is looked at before the next one begins; the last line says where the pictures are.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=${TITAN_BIN:-$here/build/release/bin}
photos=${1:-$here/../shared/data/cc12m_test}
out=${2:-outputs/end_to_end}
steps=${STEPS:-300}

say() { echo "[end-to-end] $*"; }
fail() { echo "[end-to-end] error: $*" >&2; exit 1; }
[[ -d $photos ]] || { echo "[end-to-end] no photographs in $photos (scripts/download.sh cc12m DIR)" >&2; exit 2; }
[[ ! -e $out ]] || { echo "[end-to-end] $out is there already; name another folder" >&2; exit 2; }
mkdir -p "$out"

say "text encoders, random and frozen"
"$bin/titan" make-encoders "$out/encoders" --captions "$photos"
encoders=(--encoder.t5_encoder="$out/encoders/t5" --encoder.clip_encoder="$out/encoders/clip")

say "preprocess"
"$bin/titan" preprocess --config flux_photos "${encoders[@]}" --training.dataset_path="$photos" \
  --preprocessing.output_dataset_path="$out/preprocessed" --preprocessing.empty_encodings_path="$out/empty" \
  --training.batch_size=5 --job.dump_folder="$out/preprocess_run"
[[ -e $out/preprocessed/dataset_info.json && -e $out/empty/t5_empty.npy ]] || fail "the preprocessed folder is incomplete"

say "train and evaluate on what was preprocessed"
data=(--training.dataset=cc12m_preprocessed --training.dataset_path="$out/preprocessed"
  --eval.dataset=cc12m_preprocessed --eval.dataset_path="$out/preprocessed"
  --encoder.empty_encodings_path="$out/empty")
"$bin/train" --config flux_photos "${encoders[@]}" "${data[@]}" --job.dump_folder="$out/run" \
  --training.steps="$steps" --eval.eval_freq=$((steps * 8))
python3 - "$out/run/metrics.jsonl" <<'PY'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
losses = [line["loss"] for line in lines if line["kind"] == "train"]
evals = [line["loss"] for line in lines if line["kind"] == "eval"]
print(f"[end-to-end] training loss {losses[0]:.3f} -> {losses[-1]:.3f}, evaluation {evals[0]:.3f} -> {evals[-1]:.3f}")
assert losses[-1] < 0.7 * losses[0], "the training loss did not fall"
assert evals[-1] < 0.9 * evals[0], "the evaluation loss did not fall"
PY

say "pictures for prompts"
"$bin/titan" sample "$out/run" --prompt "Red Square is a city square in Moscow, Russia." \
  --prompt "Photography lenses are on the table." --output "$out/prompts.png" --pictures "$out/pictures"
[[ -s $out/prompts.png ]] || fail "no pictures"
say "done: $out/prompts.png, $out/run/samples, $out/run/eval_images"
