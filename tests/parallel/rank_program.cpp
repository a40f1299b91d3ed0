// A job of several ranks that ends the way the test asks for: rank_program MODE, under NGPU=n.
#include <signal.h>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>

#include "titan/base/log.h"
#include "titan/parallel/libtorch_log.h"
#include "titan/parallel/process_group.h"
#include "titan/train/launcher.h"
#include "titan/train/signals.h"

using titan::parallel::Communicator;
using titan::parallel::ProcessGroupGuard;

namespace {

int run(const std::string& mode, ProcessGroupGuard& group) {
  std::vector<int64_t> everybody(static_cast<std::size_t>(group.world_size()));
  std::iota(everybody.begin(), everybody.end(), 0);
  Communicator ranks = group.open_group("everybody", everybody);
  const at::Tensor sum = at::full({1000}, group.rank() + 1.0);
  ranks.all_reduce_(sum);
  group.control().barrier();
  std::printf("sum %.0f of %d\n", sum[0].item<double>(), group.world_size());
  std::fflush(stdout);
  if (mode == "fine") {
    // Ranks may reach the end at quite different times.
    std::this_thread::sleep_for(std::chrono::milliseconds(group.rank() * 300));
    return 0;
  }
  group.use_train_timeout();
  const bool culprit = group.rank() == std::atoi(std::getenv("CULPRIT"));
  if (!culprit) {
    if (mode == "fail")
      std::this_thread::sleep_for(std::chrono::hours(1));  // the watch must end it
    ranks.all_reduce_(at::ones({1 << 20}));
    return 0;
  }
  if (mode == "kill") raise(SIGKILL);
  if (mode == "hang") std::this_thread::sleep_for(std::chrono::hours(1));
  if (mode == "leave") return 0;
  throw titan::Error("[test] the disk is full (free=0)");
}

}  // namespace

int main(int argc, char** argv) {
  if (const auto code = titan::launch_ranks_if_asked(argc, argv)) return *code;
  titan::install_signal_handlers();  // as a trainer: the launcher's SIGTERM is a wish, the watch
                                     // ends the rank
  titan::parallel::quiet_libtorch();
  const titan::RankEnv env = titan::rank_env_from_environment().value();
  titan::configure_logging({.rank = env.rank, .world_size = env.world_size});
  const std::string mode = argc > 1 ? argv[1] : "fine";
  if (mode == "absent" && env.rank == 1) std::this_thread::sleep_for(std::chrono::hours(1));
  auto group =
      ProcessGroupGuard::create({.env = env,
                                 .device = at::kCPU,
                                 .init_timeout = std::chrono::seconds(mode == "absent" ? 4 : 60),
                                 .train_timeout = std::chrono::seconds(3)});
  if (!group.ok()) {
    TITAN_LOG(ERROR) << titan::message_of(group.status());
    titan::parallel::end_process(titan::exit_code_for(group.status()));
  }
  try {
    const int code = run(mode, **group);
    if (mode == "leave") titan::parallel::end_process(code);
    (*group)->close();
    return code;
  } catch (const std::exception& error) {
    TITAN_LOG(ERROR) << error.what();
    (*group)->report_failure(error.what(), 5);
    titan::parallel::end_process(5);
  }
}
