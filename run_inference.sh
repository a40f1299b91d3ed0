#!/usr/bin/env bash
# Draw a picture for each line of a file of prompts, from a fresh clone on: set up the machine, build, run. Everything
# after the script's name goes to `titan infer`; docs/inference.md.
#
#   LOGDIR=outputs/flux_shapes ./run_inference.sh --inference.prompts_path=prompts.txt
#   NGPU=8 CONFIG=flux_schnell_mlperf LOGDIR=/logdir OUTPUT_DIR=pictures \
#     ./run_inference.sh --inference.prompts_path=prompts.txt --checkpoint.load_step=30000
#
# LOGDIR is the run's folder, with its checkpoints (job.dump_folder; outputs/<config name>); OUTPUT_DIR, in it, gets the
# pictures (inference.save_path; inference_results). Without CONFIG or CONFIG_FILE the run's own config is taken
# (LOGDIR/config.toml). NGPU (1), CONFIG, CONFIG_FILE and LOG_RANK are read by the program itself. Called again after
# whatever ended it, it goes on.
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
titan_exec "$here/build/release/bin/titan" infer ${LOGDIR:+"--job.dump_folder=$LOGDIR"} \
  ${OUTPUT_DIR:+"--inference.save_path=$OUTPUT_DIR"} "$@"
