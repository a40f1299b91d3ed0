#!/usr/bin/env bash
# Builds the fuzz targets (clang-16, libFuzzer, address and undefined-behaviour sanitizers) and runs them.
#
#   scripts/fuzz.sh [--minutes M | --seconds S] [--jobs N] [--corpus] [TARGET...]
#
# Without targets: all of tests/fuzz. Each first runs every input of tests/fuzz/corpus/TARGET (--corpus: only these), then
# searches for M minutes of CPU time (default 10): on a busy machine minutes of the clock say nothing. What it finds on the way
# grows in build/fuzz/corpus/TARGET; a finding is written to build/fuzz/findings/ and makes the script fail. To keep a finding:
# copy it to tests/fuzz/corpus/TARGET under a name that says what it is, and mend the reader. One line a target says executions,
# CPU seconds, coverage (edges, and features: edges with counts and compared values) and the size of the corpus; the same as
# columns in build/fuzz/times.tsv, one row for every search.
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

# search NAME LOG OPTION...: a fuzzer that is asked to end after $seconds of CPU time; writes those it took behind the log.
search() {
  local name=$1 log=$2 process used=0 fields status ticks
  shift 2
  ticks=$(getconf CLK_TCK)
  "$folder/bin/${name}_fuzz" "$@" >"$log" 2>&1 &
  process=$!
  while sleep 1 && read -r -a fields <"/proc/$process/stat"; do
    used=$(((fields[13] + fields[14]) / ticks))
    if (( used >= seconds )); then kill -USR1 "$process"; break; fi
  done 2>/dev/null
  wait "$process"; status=$?
  echo "cpu_seconds $used" >>"$log"
  return "$status"
}

fuzz_one() {
  local name=$1 log=$folder/logs/$1.log status longest=16384
  mkdir -p "$folder/corpus/$name"
  # Every unknown key is compared with all known ones: long files of them would take all the time.
  if [[ $name == config ]]; then longest=2048; fi
  # An input takes milliseconds; a minute is a hang on a busy machine, too. Two readers of small files must not want 2 GiB.
  local options=(-timeout=60 -rss_limit_mb=2048 -artifact_prefix="$folder/findings/$name-" -print_final_stats=1)
  if [[ $corpus_only == true ]]; then
    "$folder/bin/${name}_fuzz" "${options[@]}" -runs=0 "tests/fuzz/corpus/$name" >"$log" 2>&1
  else
    search "$name" "$log" "${options[@]}" -max_len="$longest" -use_value_profile=1 "$folder/corpus/$name" "tests/fuzz/corpus/$name"
  fi
  status=$?
  awk -v name="$name" -v status="$status" -v table="$folder/times.tsv" '
    / cov: / { for (i = 1; i < NF; ++i) { if ($i == "cov:") cov = $(i+1); if ($i == "ft:") features = $(i+1); if ($i == "corp:") corpus = $(i+1) } }
    /^stat::number_of_executed_units/ { runs = $2 }
    /^stat::peak_rss_mb/ { rss = $2 }
    /^cpu_seconds/ { cpu = $2 }
    END {
      word = status == 0 ? "clean" : "FINDING"
      printf "%-12s %9d executions in %4d s of CPU  %6d edges %7d features  corpus %s  %d MiB  %s\n", name, runs, cpu, cov, features, corpus, rss, word
      if (cpu != "") printf "%s\t%d\t%d\t%d\t%d\t%d\t%s\n", name, runs, cpu, cov, features, rss, word >>table
    }' "$log"
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
