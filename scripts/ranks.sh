# Sourced by run.sub and the run_*.sh scripts: where the ranks of a job run.
#
#   titan_exec PROGRAM ARGUMENT...     takes the place of the shell: in a SLURM allocation (salloc, sbatch) ranks by srun on
#                                      all of its nodes, NGPU a node; elsewhere the program, which starts NGPU ranks itself
#   titan_srun_options                 sets `srun_options` and NGPU for the allocation, and `hsdp`: the settings that shard inside a
#                                      node and replicate across nodes

# Inside a step of srun's we are a rank already; the steps that SLURM numbers from 4294967290 on are batch scripts and shells.
titan_in_allocation() {
  [[ -n ${SLURM_JOB_ID:-} ]] && command -v srun >/dev/null || return 1
  [[ -z ${SLURM_STEP_ID:-} || ${SLURM_STEP_ID} -ge 4294967290 ]]
}

# The fewest cores that a node of the allocation gives us: SLURM writes 128(x2),64.
titan_cores_of_node() {
  tr ',' '\n' <<<"${SLURM_JOB_CPUS_PER_NODE:-1}" | sed 's/(.*//' | sort -n | head -n1
}

titan_srun_options() {
  local nodes=${SLURM_JOB_NUM_NODES:-1} tasks=${SLURM_NTASKS_PER_NODE:-} cores
  if [[ -z ${NGPU:-} ]]; then
    if [[ $tasks =~ ^[0-9]+$ ]]; then NGPU=$tasks; else NGPU=${SLURM_GPUS_ON_NODE:-1}; fi
  fi
  if [[ ! $NGPU =~ ^[1-9][0-9]*$ ]]; then
    echo "[launcher] NGPU must be a positive number of ranks (NGPU=\"$NGPU\")" >&2
    return 2
  fi
  export NGPU
  cores=$(titan_cores_of_node)
  srun_options=(
    --nodes="$nodes" --ntasks=$((nodes * NGPU)) --ntasks-per-node="$NGPU"
    --cpus-per-task=$((cores >= NGPU ? cores / NGPU : 1))
    --mpi=none           # the ranks meet by themselves, at the first node
    --kill-on-bad-exit=0 # exit code 3 of the first rank to end must not end those that are a moment behind it,
    --wait=60            # and a rank that is lost ends the others after a minute where they have not noticed
    --label              # lines begin with the rank
  )
  hsdp=(--parallelism.data_parallel_replicate_degree="$nodes" --parallelism.data_parallel_shard_degree="$NGPU")
  # Only an allocation with fewer cores than ranks needs it.
  if ((cores < NGPU)); then srun_options+=(--overcommit); fi
}

titan_exec() {
  local srun_options=() hsdp=() program=$1
  shift
  if titan_in_allocation; then
    titan_srun_options || exit $?
    # What the user says comes later, and wins.
    if [[ $program == */train && ${SLURM_JOB_NUM_NODES:-1} -gt 1 ]]; then set -- "${hsdp[@]}" "$@"; fi
    echo "[launcher] SLURM job $SLURM_JOB_ID: $NGPU ranks on each of ${SLURM_JOB_NUM_NODES:-1} nodes, by srun" >&2
    if [[ ${MAX_RESTARTS:-0} != 0 ]]; then echo "[launcher] MAX_RESTARTS is not heeded here: sbatch run.sub heeds it" >&2; fi
    exec srun "${srun_options[@]}" "$program" "$@"
  fi
  exec "$program" "$@"
}
