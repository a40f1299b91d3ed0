#!/usr/bin/env bash
# run.sub and run_train.sh on a real SLURM of two nodes (scripts/local_slurm.sh): bad input, train, a signal that requeues,
# another node count, cancel, resume, salloc.
#
#   tests/checks/slurm_test.sh FOLDER_OF_PROGRAMS
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export TITAN_BIN=$1 PATH=$PATH:/usr/sbin
for program in slurmctld slurmd munged; do
  if ! command -v "$program" >/dev/null; then echo "skipped: $program is not installed (scripts/setup.sh --with-tests, as root)"; exit 77; fi
done
# Ranks of ours must not think that they are those of a cluster this test itself may run in.
for name in $(compgen -v | grep -E '^(SLURM|SBATCH|SRUN|SALLOC)_' || true); do unset "$name"; done
unset DATAROOT MODELROOT LOGDIR CONFIG CONFIG_FILE CONT SEED NGPU MASTER_ADDR MASTER_PORT RANK WORLD_SIZE REQUEUE CHECKPOINT

# Its path is short: munge's socket must fit into 108 characters.
work=$(mktemp -d /tmp/titan-slurm-XXXXXX)
cleanup() {
  scripts/local_slurm.sh stop "$work/cluster" || true
  rm -rf "$work"
}
trap cleanup EXIT
scripts/local_slurm.sh start "$work/cluster" || { echo "skipped: SLURM does not start here"; exit 77; }
source "$work/cluster/environment.sh"

checks=0
ok() { checks=$((checks + 1)); echo "ok: $*"; }
die() {
  echo "FAILED: $*"
  for file in "$work"/*.out; do echo "--- $file"; tail -n 40 "$file"; done
  exit 1
}
shown() { grep -qF -- "$2" "$work/$1.out" || die "$1.out does not say: $2"; }
# within SECONDS COMMAND...: until the command holds
within() {
  local until=$((SECONDS + $1))
  shift
  until "$@"; do ((SECONDS < until)) || die "not within time: $*"; sleep 0.3; done
}
state() { scontrol show job "$1" | sed -n 's/.*JobState=\([A-Z]*\).*/\1/p'; }
is_state() { [[ $(state "$1") == "$2" ]]; }
ended() { [[ $(state "$1") != PENDING && $(state "$1") != RUNNING && $(state "$1") != COMPLETING ]]; }
exit_code() { scontrol show job "$1" | sed -n 's/.*ExitCode=\([0-9]*\):.*/\1/p'; }
last_step() { sed -n 's/.*"kind":"train".*"step":\([0-9]*\).*/\1/p' "$1/metrics.jsonl" 2>/dev/null | tail -n1; }
beyond() { [[ $(last_step "$1") -gt $2 ]]; }
submit() {  # submit NAME SBATCH_OPTION... -- ARGUMENT...: the id of the job; its output is NAME.out
  local name=$1 options=()
  shift
  while [[ $1 != -- ]]; do options+=("$1"); shift; done
  shift
  sbatch --parsable --time=10 --signal=USR1@30 --output="$work/$name.out" "${options[@]}" run.sub "${tiny[@]}" "$@"
}
run() {  # run CODE NAME ...: submit, wait, compare the exit code
  local code=$1 id
  shift
  id=$(submit "$@")
  within 90 ended "$id"
  [[ $(exit_code "$id") == "$code" ]] || die "$1 ended with $(exit_code "$id"), not $code"
}
tiny=(--model.args.dim=32 --model.args.n_layers=2 --model.args.n_heads=4 --training.dataset=synthetic --training.img_size=16
  --training.batch_size=8 --lr_scheduler.warmup_steps=2 --metrics.log_freq=1 --sampling.no-enable --job.num_threads=1)

# Bad input: said in the job's output, exit code 2.
run 2 unset -N2 --
shown unset "not set: DATAROOT MODELROOT LOGDIR"
mkdir "$work/data" "$work/models"
export DATAROOT=$work/data MODELROOT=$work/models LOGDIR=/proc/runs CONFIG_FILE=debug NGPU=1
run 2 unwritable -N2 --
shown unwritable "LOGDIR cannot be written by $(id -un)"
DATAROOT=$work/none run 2 nowhere -N2 --
shown nowhere "DATAROOT is no folder"
LOGDIR=$work/a CONT=image.sqsh run 2 container -N2 --
shown container "CONT needs SLURM's pyxis"
ENABLE_CHECKPOINTING=maybe LOGDIR=$work/a run 2 word -N1 --
shown word "ENABLE_CHECKPOINTING must be True or False (ENABLE_CHECKPOINTING=maybe)"
ok "bad input ends with exit code 2 and its reason"

# Two nodes, to the end; the ranks find each other by SLURM's variables alone, folders lie where the variables say.
export LOGDIR=$work/a
run 0 train -N2 -- --training.steps=6 --checkpoint.initial_load_path=
shown train "2 ranks by slurm"
shown train "job.dump_folder: /logdir is $LOGDIR"
[[ $(last_step "$LOGDIR") == 6 ]] || die "the run did not reach step 6"
grep -q 'data_parallel_replicate_degree = 2' "$LOGDIR/config.toml" || die "nodes do not replicate"
grep -q 'data_parallel_shard_degree = 1' "$LOGDIR/config.toml" || die "ranks of a node do not shard"
[[ ! -e /logdir ]] || die "/logdir was made"
ok "two nodes train to the end"

# Arguments decide whether and where there are checkpoints; a rank that is killed costs the steps since the last one.
export LOGDIR=$work/r
job=$(MAX_RESTARTS=1 submit restart -N2 -- --job.dump_folder=/logdir/inner --checkpoint.enable_checkpoint --checkpoint.folder=ck \
  --checkpoint.interval=10 --training.steps=100000)
within 60 beyond "$LOGDIR/inner" 20
pkill -KILL -n -f -- "--job.dump_folder=/logdir/inner" || die "no rank to kill"
within 60 grep -q "restart 1 of 1" "$work/restart.out"
first=$(last_step "$LOGDIR/inner")
within 60 beyond "$LOGDIR/inner" $((first + 10))
shown restart "resumed from step"
scancel --signal=USR1 "$job"
within 30 grep -q "requeued: goes on from $LOGDIR/inner/ck/step-" "$work/restart.out"
scancel "$job"
within 40 ended "$job"
ok "a killed rank: started again in its allocation from step $first or a little before"

# SIGUSR1 (a time limit's warning): saved, exit code 3, requeued; comes back with half of the nodes, goes on.
export LOGDIR=$work/b ENABLE_CHECKPOINTING=True
endless=(--training.steps=100000 --training.global_batch_size=16)
job=$(submit requeue -N1-2 -- "${endless[@]}")
within 60 beyond "$LOGDIR" 20
scancel --signal=USR1 "$job"
within 30 grep -q "requeued: goes on from" "$work/requeue.out"
within 30 is_state "$job" PENDING
scontrol update JobId="$job" NumNodes=1-1
first=$(last_step "$LOGDIR")
within 90 beyond "$LOGDIR" $((first + 20))
shown requeue "start 2: 1 ranks on each of 1 nodes"
ok "requeued at step $first, went on with 1 node instead of 2"

# scancel: saved in time, not requeued. The steps of both lives follow each other without a gap.
scancel "$job"
within 40 ended "$job"
is_state "$job" CANCELLED || die "cancelled, yet $(state "$job")"
last=$(last_step "$LOGDIR")
[[ -d $(printf '%s/checkpoint/step-%06d' "$LOGDIR" "$last") ]] || die "no checkpoint of the last step, $last"
sed -n 's/.*"kind":"train".*"step":\([0-9]*\).*/\1/p' "$LOGDIR/metrics.jsonl" | cmp - <(seq "$last") || die "steps are missing or double"
ok "cancelled at step $last with its checkpoint"

# Another job, other node and rank counts: goes on; where they would change the global batch it is refused by name.
NGPU=2 run 0 resume -N2 -- --training.global_batch_size=16 --training.batch_size=4 --training.steps=$((last + 5))
[[ $(last_step "$LOGDIR") == $((last + 5)) ]] || die "not resumed"
NGPU=3 run 2 batch -N1 -- --training.steps=$((last + 9))
shown batch global_batch_size
ok "resumed on 4 ranks; another global batch is refused"

# salloc's shell is no rank: run_train.sh starts them on the allocation's nodes. TITAN_TEST_NO_BUILD: without its build.
unset LOGDIR CONFIG_FILE
front=(./run_train.sh)
if [[ -n ${TITAN_TEST_NO_BUILD:-} ]]; then front=(bash -c 'source scripts/ranks.sh && titan_exec "$TITAN_BIN/train" "$@"' run_train.sh); fi
salloc -N2 --quiet "${front[@]}" --config=debug "${tiny[@]}" --training.steps=4 --job.dump_folder="$work/c" >"$work/salloc.out" 2>&1 ||
  die "salloc ended with $?"
shown salloc "1 ranks on each of 2 nodes, by srun"
shown salloc "2 ranks by slurm"
[[ $(last_step "$work/c") == 4 ]] || die "the run in salloc did not reach step 4"
grep -q 'data_parallel_replicate_degree = 2' "$work/c/config.toml" || die "nodes of salloc do not replicate"
ok "salloc's shell starts ranks on both nodes"
echo "all $checks checks passed"
