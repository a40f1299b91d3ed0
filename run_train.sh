#!/usr/bin/env bash
# Train, from a fresh clone on: set up the machine, build, run. Everything after the script's name goes to `train`.
#
#   ./run_train.sh                                       the embedded default (train_configs/dit_shapes.toml)
#   CONFIG=dit_cifar10 ./run_train.sh --training.steps=10
#   NGPU=2 LOG_RANK=0,1 ./run_train.sh                   two ranks; show the lines of both
#   salloc -N2 ./run_train.sh                            in a SLURM allocation: NGPU ranks on each of its nodes, by srun
#
# NGPU, CONFIG, CONFIG_FILE and LOG_RANK are read by the program itself. Set-up, when it is needed at all, says so.
set -euo pipefail
# The program runs where the user stands, so that relative paths mean what they say.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
(
  cd "$here"
  source scripts/ready.sh
  titan_ready release programs
)

# The embedded default trains on shapes that titan renders itself, once.
config=${CONFIG:-${CONFIG_FILE:-}}
take_next=
for argument in "$@"; do
  if [[ -n $take_next ]]; then config=$argument; take_next=; fi
  case $argument in
    --config=* | --job.config_file=* | --job.config-file=*) config=${argument#*=} ;;
    --config | --job.config_file | --job.config-file) take_next=1 ;;
    --help) config=help ;;
  esac
done
case ${config:-dit_shapes} in
  dit_shapes | dit_shapes.toml | */dit_shapes.toml)
    [[ -d outputs/data/shapes ]] || "$here/build/release/bin/titan" make-shapes --output outputs/data/shapes ;;
  flux_shapes | flux_shapes.toml | */flux_shapes.toml)
    data=outputs/data/shapes_text
    [[ -d $data ]] || "$here/build/release/bin/titan" make-shapes --output $data --wordings many
    [[ -d ${data}_encoders ]] || "$here/build/release/bin/titan" make-encoders ${data}_encoders --captions $data ;;
esac
source "$here/scripts/ranks.sh"
titan_exec "$here/build/release/bin/train" "$@"
