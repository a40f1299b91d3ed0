#!/usr/bin/env bash
# titan convert-data and scripts/import_parquet.py against Pillow, pyarrow and the datasets library: convert_data_test.sh TITAN
# Needs a Python with them (TITAN_PYTHON, else /tmp/flux_venv, else python3); skips without.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
titan=$1
python=${TITAN_PYTHON:-/tmp/flux_venv/bin/python}
[[ -x $python ]] || python=python3
if ! "$python" -c 'import datasets, pyarrow, PIL' 2>/dev/null; then
  echo "skipped: $python has no datasets, pyarrow and Pillow (TITAN_PYTHON names another Python)"
  exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HF_HOME=$work/hf HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1
look() { "$python" -W ignore tests/checks/convert_data_test.py "$@"; }
import() { "$python" scripts/import_parquet.py "$@"; }
fails_with() {  # fails_with TEXT COMMAND...: exit code 2 and a line with TEXT
  local text=$1 out code=0
  shift
  out=$("$@" 2>&1) || code=$?
  if [[ $code != 2 ]] || ! grep -qF -- "$text" <<<"$out" || grep -q Traceback <<<"$out"; then
    echo "FAILED: expected '$text' and exit code 2 from $* and got $code: $out"
    exit 1
  fi
  echo "ok: $text"
}

golden=${TITAN_GOLDEN:-../shared/golden}/data
photos=../shared/data/cc12m_test
if [[ -d $golden && -d $photos ]]; then
  "$titan" convert-data clean-cc12m "$photos" "$work/cc12m_disk" --filter=none --file-mb=1
  look cc12m_disk "$work/cc12m_disk" "$golden" "$photos"
else
  echo "not tested: clean-cc12m against $golden ($golden or $photos is absent)"
fi

# Other modes, other json, more rows than a record batch.
look make_tars "$work/tars"
"$titan" convert-data clean-cc12m "$work/tars" "$work/modes_disk" --filter=none --output-size=16 --bad-rows=drop
look modes_disk "$work/modes_disk" "$work/tars"

look make_parquet "$work/parquet"
import "$work/parquet/named" "$work/named_tars" --samples-per-shard 3
import "$work/parquet/named" "$work/named_folder" --format folder
import "$work/parquet/texts" "$work/texts_folder" --format folder
import "$work/parquet/bare" "$work/bare_tars" --bad-rows drop
look parquet "$work"
fails_with "no such file or folder" import "$work/nowhere" "$work/none"
fails_with "no *.parquet in" import "$work/tars" "$work/none"
fails_with "never overwritten" import "$work/parquet/named" "$work/named_tars"
fails_with "has no column 'photo'" import "$work/parquet/named" "$work/none" --image-column photo
fails_with "column 'label' has type int64: not an image" import "$work/parquet/named" "$work/none" --image-column label
fails_with "row 1 has no image" import "$work/parquet/bare" "$work/none"
fails_with "needs a column of classes" import "$work/parquet/bare" "$work/none" --format folder
fails_with "cannot be read as Parquet" import "$work/parquet/broken.parquet" "$work/none"
mkdir "$work/no_pyarrow" && echo 'raise ImportError' >"$work/no_pyarrow/pyarrow.py"
fails_with "needs pyarrow" env PYTHONPATH="$work/no_pyarrow" "$python" scripts/import_parquet.py a b
[[ ! -e $work/none ]]
echo "all passed"
