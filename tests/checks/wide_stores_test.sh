#!/usr/bin/env bash
# Kernels that move 16 bytes at a time (8 bfloat16 numbers, 4 of float32) also store so: nvcc may take such a store apart
# (titan/kernels/cuda/pack.cuh), which no result shows.
#   wide_stores_test.sh LIBTITAN_CUDA
set -euo pipefail
export PATH="$PATH:/usr/local/cuda/bin"
for tool in cuobjdump nvdisasm; do
  command -v "$tool" >/dev/null || { echo "wide_stores_test: skipped, there is no $tool"; exit 77; }
done
cuobjdump --dump-sass "$1" | awk '
  function finish() {
    if (name == "") return
    ++kernels
    # sum_tasks stores sums alone, one for each block.
    if (narrow > 0 || (whole == 0 && name !~ /sum_tasks/)) {
      print "wide_stores_test: " name ": " whole + 0 " stores of 16 bytes, " narrow + 0 " of 2"
      bad = 1
    }
  }
  /Function : / {
    finish()
    name = $3 ~ /I(f|13__nv_bfloat16|S[0-9A-Z]*_)+Li[48]E/ ? $3 : ""
    whole = narrow = 0
  }
  / STG\.E\.128 / { ++whole }
  / STG\.E\.U16 / { ++narrow }
  END {
    finish()
    if (kernels < 20) { print "wide_stores_test: only " kernels + 0 " wide kernels found"; bad = 1 }
    if (!bad) print "wide_stores_test: " kernels " wide kernels store 16 bytes at a time"
    exit bad
  }'
