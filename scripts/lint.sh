#!/usr/bin/env bash
# Check formatting and the rules that no compiler checks; `scripts/lint.sh --fix` formats.
#
#   scripts/lint.sh [--fix] [FILE...]      without files: everything git knows
#
# Rules: clang-format-16; glog, absl/log and Catch2 only in their one home; no bare LOG( or CHECK( in titan/ (c10's,
# glog's and Catch2's macros of that name fight); #pragma once; a TODO names its issue; folders include downwards.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
fix=false
if [[ ${1:-} == --fix ]]; then fix=true; shift; fi
if [[ $# -gt 0 ]]; then files=("$@"); else mapfile -t files < <(git ls-files --cached --others --exclude-standard); fi

sources=() headers=() product=()
for file in "${files[@]}"; do
  [[ -f $file ]] || continue
  case $file in *.h | *.cpp | *.cu | *.cuh) sources+=("$file") ;; *) continue ;; esac
  case $file in *.h | *.cuh) headers+=("$file") ;; esac
  case $file in titan/*) product+=("$file") ;; esac
done
bad=0
report() { echo "lint: $1"; sed 's/^/  /'; bad=1; }
found() {  # found MESSAGE PATTERN EXCEPT FILE...: matches outside comments, not in the files that EXCEPT names
  local message=$1 pattern=$2 except=$3 hits
  shift 3
  [[ $# -gt 0 ]] || return 0
  hits=$(grep -nHP "$pattern" "$@" | grep -vP "^($except):" || true)
  if [[ -n $hits ]]; then report "$message" <<<"$hits"; fi
}

if [[ ${#sources[@]} -gt 0 ]]; then
  if ! command -v clang-format-16 >/dev/null; then
    echo "lint: clang-format-16 is missing (scripts/setup.sh installs it)"; exit 2
  elif [[ $fix == true ]]; then
    clang-format-16 -i "${sources[@]}"
  elif ! output=$(printf '%s\n' "${sources[@]}" | xargs -n 24 clang-format-16 --dry-run -Werror 2>&1); then
    report "not formatted (scripts/lint.sh --fix)" < <(grep -oP '^[^:]+(?=:\d+:\d+: error)' <<<"$output" | sort | uniq -c)
  fi
  found "glog is for titan/base/log.cpp alone" '^\s*#\s*include\s*<glog/' 'titan/base/log\.cpp' "${sources[@]}"
  found "absl/log is not used: TITAN_LOG" '^\s*#\s*include\s*[<"]absl/log/' '-' "${sources[@]}"
  found "Catch2 is for tests/support/catch.h alone" '^\s*#\s*include\s*[<"]catch2/' 'tests/support/catch\.h' "${sources[@]}"
  found "a TODO names its issue: TODO(#123)" '\bTODO(?!\(#\d+\))' '-' "${sources[@]}"
fi
# Comments and strings may name the macros; code may not use them.
found "use TITAN_LOG and TITAN_CHECK" '^(?!\s*(//|\*))(?:(?!//|").)*(?<![A-Za-z0-9_])(V?LOG|D?CHECK)(_[A-Z]+)?\(' \
  'titan/base/log\.cpp' ${product[@]+"${product[@]}"}
for header in ${headers[@]+"${headers[@]}"}; do
  grep -q '^#pragma once' "$header" || report "#pragma once is missing" <<<"$header"
done
layers=$(scripts/check_layers.py) || report "bad includes" <<<"$layers"

if [[ $bad == 0 ]]; then echo "lint: ${#sources[@]} sources are clean; $layers"; fi
exit $bad
