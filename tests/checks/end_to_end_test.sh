#!/usr/bin/env bash
# scripts/end_to_end.sh on the 32 photographs; skipped where they are absent. $1: the folder of the programs.
set -euo pipefail
photos=../shared/data/cc12m_test
[[ -d $photos ]] || { echo "skipped: no photographs in $photos"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
began=$SECONDS
TITAN_BIN=$1 STEPS=150 scripts/end_to_end.sh "$photos" "$folder/out"
echo "end to end: $((SECONDS - began)) s"

# A second run into the same folder, and one without photographs, end with exit code 2 and say why.
for arguments in "$photos $folder/out" "$folder/nowhere $folder/other"; do
  code=0
  # shellcheck disable=SC2086
  TITAN_BIN=$1 scripts/end_to_end.sh $arguments >"$folder/log" 2>&1 || code=$?
  [[ $code == 2 ]] || { echo "expected exit code 2, got $code"; cat "$folder/log"; exit 1; }
done
