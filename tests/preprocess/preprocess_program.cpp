// A preprocessing job over made-up data that takes its time, to be killed: preprocess_program
// OUTPUT FORMAT SAMPLES BATCH DELAY_MS, under NGPU=n.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "tests/preprocess/fake_job.h"
#include "titan/base/log.h"
#include "titan/parallel/libtorch_log.h"
#include "titan/parallel/process_group.h"
#include "titan/train/launcher.h"
#include "titan/train/signals.h"

namespace {

int run(char** argv, titan::parallel::ProcessGroupGuard& group) {
  using namespace titan::testing;
  auto options = fake_options(argv[1], argv[2]);
  options.batch_size = std::atoi(argv[4]);
  options.progress_s = 0.2;
  const auto dataset = std::make_shared<FakeImages>(std::atoi(argv[3]));
  dataset->broken = {1, 30};
  const auto encode = [&](titan::Batch& batch) {
    std::this_thread::sleep_for(std::chrono::milliseconds(std::atoi(argv[5])));
    fake_encode(batch);
  };
  std::printf("pid %d\n", static_cast<int>(getpid()));
  std::fflush(stdout);
  const auto outcome = run_job(options, dataset, group.control(), encode, titan::requested_signal);
  if (!outcome.ok()) {
    TITAN_LOG(ERROR) << titan::message_of(outcome.status());
    group.report_failure(titan::message_of(outcome.status()),
                         titan::exit_code_for(outcome.status()));
    titan::parallel::end_process(titan::exit_code_for(outcome.status()));
  }
  group.close();
  return *outcome == titan::JobOutcome::kStopped ? 3 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (const auto code = titan::launch_ranks_if_asked(argc, argv)) return *code;
  titan::install_signal_handlers();
  titan::parallel::quiet_libtorch();
  const titan::RankEnv env = titan::rank_env_from_environment().value();
  titan::configure_logging({.rank = env.rank, .world_size = env.world_size});
  const auto group = titan::parallel::ProcessGroupGuard::create({.env = env}).value();
  return run(argv, *group);
}
