// launcher.h: NGPU=4 train ... starts four ranks of this program on this host and looks after them.
// No torch here: ranks are started by exec, before anything of LibTorch has run.
#pragma once

#include <optional>

namespace titan {

/// The first statement of a training program's main. Where the environment variable NGPU is above 1
/// and no launcher (torchrun, srun) has set rank variables, runs NGPU ranks of this program with
/// the same arguments and returns the exit code of the job; else nullopt: this process is a rank
/// (or the only process) and goes on.
///
/// Ranks get torchrun's variables; MASTER_PORT is a free port unless set; OMP_NUM_THREADS is cores
/// / ranks unless set. Output lines are prefixed `[rank r]`; LOG_RANK (default 0) says whose are
/// shown, warnings and errors are shown of all; on a terminal a single shown rank writes to it
/// directly, so that its progress bar works. SIGINT, SIGTERM, SIGUSR1, SIGUSR2 go to all ranks.
/// When a rank fails, its last lines are shown, the others get SIGTERM and 10 s later SIGKILL. Exit
/// code: of the first rank to fail, 1 if a signal killed it, 2 for a bad NGPU or MAX_RESTARTS.
///
/// With MAX_RESTARTS=n (also for one rank) a job that fails is started again, up to n times, on
/// another port; ranks resume from their last checkpoint. Not after exit code 2, nor when the
/// launcher was told to stop, nor when two attempts in a row fail in the same step.
std::optional<int> launch_ranks_if_asked(int argc, char** argv);

}  // namespace titan
