#!/usr/bin/env bash
# A real SLURM cluster of two nodes on this one machine, for tests and for trying run.sub without a cluster.
#
#   scripts/local_slurm.sh start FOLDER     then: source FOLDER/environment.sh; sinfo; sbatch -N2 run.sub
#   scripts/local_slurm.sh stop FOLDER
#
# Everything lies in FOLDER: settings, keys, sockets, logs, process ids. /etc/slurm and a munged of the system are neither
# read nor touched, so it runs beside another cluster and for a user who is not root (whose jobs alone it then takes).
# Both nodes, n1 and n2, are this host. Needs the Debian packages slurm-wlm and munge. Exit code 2: they are not here.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin

fail() { echo "[local_slurm] error: $*" >&2; exit 2; }
[[ $# == 2 && ($1 == start || $1 == stop) ]] || fail "usage: scripts/local_slurm.sh start|stop FOLDER"
mkdir -p "$2"
folder=$(cd "$2" && pwd)

end() {  # end NAME: the daemon whose id lies in NAME.pid, and wait for its end
  local id
  id=$(cat "$folder/$1.pid" 2>/dev/null) || return 0
  # The id may be another process's by now: only what was started with this folder's settings is ended.
  tr '\0' ' ' <"/proc/$id/cmdline" 2>/dev/null | grep -qF "$folder/" || return 0
  kill "$id" 2>/dev/null || return 0
  for _ in $(seq 100); do kill -0 "$id" 2>/dev/null || return 0; sleep 0.1; done
  kill -9 "$id" 2>/dev/null || true
}

stop() {
  local name
  # Jobs outlive their daemons: they go first.
  if [[ -e $folder/slurm.conf && -e $folder/slurmctld.pid ]] && kill -0 "$(<"$folder/slurmctld.pid")" 2>/dev/null; then
    export SLURM_CONF=$folder/slurm.conf
    timeout 10 scancel --user="$(id -un)" || true
    for _ in $(seq 200); do [[ -n $(timeout 10 squeue --noheader) ]] || break; sleep 0.2; done
  fi
  for name in slurmd-n1 slurmd-n2 slurmctld munged; do end "$name"; done
}

write_settings() {
  # munged wants its folder to be nobody else's to write; ports below those that the kernel hands out itself.
  local first_port=$((20000 + $$ % 2000 * 4)) host user
  host=$(hostname)
  user=$(id -un)
  cat >"$folder/slurm.conf" <<CONF
ClusterName=titan
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$first_port
AuthType=auth/munge
# A requeued job waits for as long as its credential lives (120 s).
AuthInfo=socket=$folder/munge/socket,cred_expire=5
CredType=cred/munge
ProctrackType=proctrack/${TITAN_SLURM_PROCTRACK:-pgid}
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
SchedulerParameters=sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
SlurmUser=$user
SlurmdUser=$user
SlurmdTimeout=300
KillWait=${TITAN_SLURM_KILL_WAIT:-30}
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd-%n.log
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((first_port + 1)) CPUs=$(nproc) State=UNKNOWN
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((first_port + 2)) CPUs=$(nproc) State=UNKNOWN
PartitionName=batch Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
CONF
  cat >"$folder/environment.sh" <<CONF
export SLURM_CONF=$folder/slurm.conf
CONF
}

start() {
  local program
  for program in munged slurmctld slurmd sinfo; do
    command -v "$program" >/dev/null || fail "$program is not installed (apt-get install slurm-wlm munge)"
  done
  stop
  rm -rf "$folder/state" "$folder/spool"
  mkdir -p "$folder"/{state,log,munge,spool/n1,spool/n2}
  chmod 755 "$folder" "$folder/munge"
  write_settings
  export SLURM_CONF=$folder/slurm.conf
  (umask 077; head -c 128 /dev/urandom >"$folder/munge.key")
  munged --force --key-file="$folder/munge.key" --socket="$folder/munge/socket" --pid-file="$folder/munged.pid" \
    --log-file="$folder/log/munged.log" --seed-file="$folder/munge.seed" 2>>"$folder/log/munged.out" ||
    fail "munged did not start: $(tail -n1 "$folder/log/munged.log")"
  slurmctld -f "$folder/slurm.conf" >>"$folder/log/slurmctld.out" 2>&1 ||
    fail "slurmctld did not start: $(tail -n1 "$folder/log/slurmctld.log")"
  for node in n1 n2; do
    slurmd -N "$node" -f "$folder/slurm.conf" >>"$folder/log/slurmd-$node.out" 2>&1 ||
      fail "slurmd of $node did not start: $(tail -n1 "$folder/log/slurmd-$node.log")"
  done
  for _ in $(seq 100); do
    if [[ $(sinfo --noheader --format=%T 2>/dev/null) == idle && $(sinfo --noheader --format=%D) == 2 ]]; then
      echo "[local_slurm] two nodes are up; source $folder/environment.sh"
      return
    fi
    sleep 0.2
  done
  fail "the nodes did not come up: $(tail -n1 "$folder/log/slurmctld.log") (logs in $folder/log)"
}

"$1"
