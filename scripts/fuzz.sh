#!/usr/bin/env bash
# Builds the fuzz targets (clang-16, libFuzzer, address and undefined-behaviour sanitizers) and runs them.
#
#   scripts/fuzz.sh [--minutes M | --seconds S] [--jobs N] [--corpus] [TARGET...]
#
# Without targets: all of tests/fuzz. Each first runs every input of tests/fuzz/corpus/TARGET (--corpus: only these), then
# searches for M minutes (default 10). What it finds on the way grows in build/fuzz/corpus/TARGET; a finding is written to
# build/fuzz/findings/ and makes the script fail. To keep a finding: copy it to tests/fuzz/corpus/TARGET under a name that says
# what it is, and mend the reader. One line a target says executions, coverage (edges) and the size of the corpus.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=600 jobs=1 corpus_only=false targets=()
while [[ $# -gt 0 ]]; do
  case $1 in
    --minutes) seconds=$((60 * $2)); shift ;; --minutes=*) seconds=$((60 * ${1#*=})) ;;
    --seconds) seconds=$2; shift ;; --seconds=*) seconds=${1#*=} ;;
    --jobs) jobs=$2; shift ;; --jobs=*) jobs=${1#*=} ;;
    --corpus) corpus_only=true ;;
    -*) echo "fuzz: unknown option $1 (known: --minutes, --seconds, --jobs, --corpus)" >&2; exit 2 ;;
    *) targets+=("$1") ;;
  esac
  shift
done
if [[ ${#targets[@]} == 0 ]]; then
  for file in tests/fuzz/*_fuzz.cpp; do name=${file##*/}; targets+=("${name%_fuzz.cpp}"); done
fi
for name in "${targets[@]}"; do
  [[ -e tests/fuzz/${name}_fuzz.cpp ]] || { echo "fuzz: no target $name in tests/fuzz" >&2; exit 2; }
done

command -v clang++-16 >/dev/null || { echo "fuzz: skipped, no clang++-16 (scripts/packages.txt)"; exit 77; }
folder=$PWD/build/fuzz
if [[ -z ${TITAN_FUZZ_BUILT:-} ]]; then
  source scripts/ready.sh
  titan_ready fuzz "${targets[@]/%/_fuzz}" || exit 1
fi
mkdir -p "$folder"/{findings,logs}
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=0:symbolize=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export ASAN_SYMBOLIZER_PATH=$(command -v llvm-symbolizer-16 || command -v llvm-symbolizer || true)

fuzz_one() {
  local name=$1 log=$folder/logs/$1.log status
  mkdir -p "$folder/corpus/$name"
  # An input takes milliseconds; ten seconds of it are a hang. Two readers of small files must not want 2 GiB.
  local options=(-timeout=10 -rss_limit_mb=2048 -artifact_prefix="$folder/findings/$name-" -print_final_stats=1)
  if [[ $corpus_only == true ]]; then
    "$folder/bin/${name}_fuzz" "${options[@]}" -runs=0 "tests/fuzz/corpus/$name" >"$log" 2>&1
  else
    "$folder/bin/${name}_fuzz" "${options[@]}" -max_total_time="$seconds" -max_len=16384 -use_value_profile=1 \
      "$folder/corpus/$name" "tests/fuzz/corpus/$name" >"$log" 2>&1
  fi
  status=$?
  awk -v name="$name" -v status="$status" '
    / cov: / { for (i = 1; i < NF; ++i) { if ($i == "cov:") cov = $(i+1); if ($i == "corp:") corpus = $(i+1) } }
    /^stat::number_of_executed_units/ { runs = $2 }
    /^stat::average_exec_per_sec/ { rate = $2 }
    /^stat::peak_rss_mb/ { rss = $2 }
    END { printf "%-12s %9d executions  %6d/s  %6d edges  corpus %s  %d MiB  %s\n", name, runs, rate, cov, corpus, rss, status == 0 ? "clean" : "FINDING" }' "$log"
  [[ $status == 0 ]] || { grep -m1 -E 'ERROR|runtime error|broken promise|SUMMARY' "$log"; tail -n 3 "$log"; }
  return "$status"
}

failed=0 running=0
for name in "${targets[@]}"; do
  if (( running >= jobs )); then wait -n || failed=1; running=$((running - 1)); fi
  fuzz_one "$name" &
  running=$((running + 1))
done
while (( running > 0 )); do wait -n || failed=1; running=$((running - 1)); done
exit "$failed"
