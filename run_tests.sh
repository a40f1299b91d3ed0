#!/usr/bin/env bash
# Build and run every test, from a fresh clone on; the arguments go to ctest (./run_tests.sh -L unit).
# Formatting, layer and sanitizer checks are tests too (labels lint and sanitize).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source scripts/ready.sh
titan_ready release all
exec ctest --test-dir build/release --output-on-failure --no-tests=error -j2 "$@"
