#!/usr/bin/env bash
# Encode a data set of images and captions once, from a fresh clone on: set up the machine, build, run. Everything after
# the script's name goes to `titan preprocess`; docs/preprocessing.md.
#
#   NGPU=8 ./run_preprocessing.sh --preprocessing.output_dataset_path=/dataset/cc12m_preprocessed
#   NGPU=4 ./run_preprocessing.sh --training.dataset=coco --training.dataset_path=/dataset/coco \
#     --training.batch_size=128 --preprocessing.output_dataset_path=/dataset/coco_preprocessed
#
# NGPU (1), CONFIG or CONFIG_FILE (flux_schnell_mlperf.toml) and LOG_RANK are read by the program itself. Called again after
# whatever ended it, it goes on. The encodings of the empty prompt go into empty_encodings beside the output
# (--preprocessing.empty_encodings_path). Each rank holds whole encoders; where they do not fit into its memory:
#   --parallelism.data_parallel_replicate_degree=1 --parallelism.data_parallel_shard_degree=-1
set -euo pipefail
# The program runs where the user stands, so that relative paths mean what they say.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
(
  cd "$here"
  source scripts/ready.sh
  titan_ready release programs
)
# The last of two settings of one name holds, so a user's own come behind.
source "$here/scripts/ranks.sh"
titan_exec "$here/build/release/bin/titan" preprocess \
  --parallelism.data_parallel_replicate_degree=-1 --parallelism.data_parallel_shard_degree=1 \
  --training.batch_size=256 "$@"
