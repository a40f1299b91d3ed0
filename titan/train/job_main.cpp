#include "titan/train/job_main.h"

#include <ATen/Parallel.h>
#include <c10/util/Exception.h>

#include <cstdio>
#include <exception>
#include <optional>
#include <utility>

#include "titan/base/log.h"
#include "titan/base/outcome.h"
#include "titan/base/rank_env.h"
#include "titan/config/field_docs.h"
#include "titan/config/loader.h"
#include "titan/config/render.h"
#include "titan/memory/cpu_allocator.h"
#include "titan/models/builtin.h"
#include "titan/models/dit/config.h"
#include "titan/models/flux/config.h"
#include "titan/parallel/cpu_share.h"
#include "titan/parallel/cuda_library.h"
#include "titan/parallel/device_services.h"
#include "titan/parallel/libtorch_log.h"
#include "titan/parallel/process_group.h"
#include "titan/train/deadline.h"
#include "titan/train/failure_text.h"
#include "titan/train/kernel_settings.h"
#include "titan/train/launcher.h"
#include "titan/train/rank_agreement.h"
#include "titan/train/signals.h"

namespace titan {
namespace {

constexpr int kStoppedBySignal = 3;

/// One place where everything that goes wrong ends: shown, told to the other ranks, turned into an
/// exit code.
class FailureReport {
 public:
  /// From now on threads of LibTorch may wait for the other ranks: the process ends without them.
  void expect_ranks(int world_size) { world_size_ = world_size; }
  /// From now on the other ranks are told.
  void tell(parallel::ProcessGroupGuard* ranks) { ranks_ = ranks; }

  int operator()(const std::string& cause, int exit_code) const {
    TITAN_LOG(ERROR) << cause;
    if (world_size_ == 1) return exit_code;
    if (ranks_ != nullptr) ranks_->report_failure(cause, exit_code);
    parallel::end_process(exit_code);
  }

 private:
  int world_size_ = 1;
  parallel::ProcessGroupGuard* ranks_ = nullptr;
};

void configure_process(const JobConfig& config, const RankEnv& rank) {
  configure_logging({.rank = rank.rank,
                     .world_size = rank.world_size,
                     .show_info = log_rank_selected(rank.rank),
                     .verbosity = 0});
  const int threads = parallel::threads_per_rank(rank.local_world_size);
  at::set_num_threads(config.job.num_threads > 0 ? static_cast<int>(config.job.num_threads)
                                                 : threads);
  if (config.memory.cpu_cache) memory::install_cpu_allocator();
  install_signal_handlers();
}

int run_rank(const JobProgram& program, const LoadedConfig& loaded,
             const std::vector<std::string>& arguments) {
  const JobConfig& config = loaded.config;
  FailureReport fail;
  std::unique_ptr<parallel::ProcessGroupGuard> ranks;
  std::optional<c10::Device> on_device;  // a GPU
  try {
    const StatusOr<RankEnv> rank = rank_env_from_environment();
    if (!rank.ok()) return fail(message_of(rank.status()), exit_code_for(rank.status()));
    configure_process(config, *rank);
    if (rank->world_size > 1 && rank->source != "torchrun") {
      TITAN_LOG(INFO) << rank->world_size << " ranks by " << rank->source << " meet at "
                      << rank->master_addr << ":" << rank->master_port;
    }
    const StatusOr<c10::Device> device =
        parallel::choose_device(config.job.device, rank->local_rank);
    if (!device.ok()) return fail(message_of(device.status()), exit_code_for(device.status()));
    if (device->is_cuda()) on_device = *device;
    if (const Status status = choose_kernels(config, device->type()); !status.ok())
      return fail(message_of(status), exit_code_for(status));
    fail.expect_ranks(rank->world_size);
    auto group = parallel::ProcessGroupGuard::create(
        {.env = *rank,
         .device = *device,
         .init_timeout = std::chrono::seconds(config.comm.init_timeout_seconds),
         .train_timeout = std::chrono::seconds(config.comm.train_timeout_seconds),
         .shared_memory = config.comm.cpu_backend == "auto"});
    if (!group.ok()) return fail(message_of(group.status()), exit_code_for(group.status()));
    ranks = std::move(*group);
    fail.tell(ranks.get());
    if (const Status agreed = check_ranks_agree(config, ranks->control()); !agreed.ok())
      return fail(message_of(agreed), exit_code_for(agreed));
    const StatusOr<JobOutcome> outcome = program.run({config, *rank, *device, *ranks, arguments});
    if (!outcome.ok()) return fail(message_of(outcome.status()), exit_code_for(outcome.status()));
    ranks->close();
    return *outcome == JobOutcome::kStopped ? kStoppedBySignal : 0;
  } catch (const c10::OutOfMemoryError& error) {
    return fail(on_device && parallel::device_services() != nullptr
                    ? parallel::out_of_memory_text(error.what(),
                                                   parallel::device_memory(on_device->index()))
                    : error.what_without_backtrace(),
                1);
  } catch (const std::exception& error) {
    TITAN_VLOG(1) << error.what();
    return fail(failure_text(error), 1);
  }
}

/// Settings are read before any rank is started, so what is wrong with them is said once.
std::optional<int> check_settings(const JobProgram& program, const StatusOr<LoadedConfig>& loaded) {
  if (!loaded.ok()) return exit_with(loaded.status());
  if (loaded->help_requested) {
    const SectionDoc dit =
        describe_section("model.args", "settings of the model dit", models::DitConfig{});
    const SectionDoc flux =
        describe_section("model.args", "settings of the model flux", models::FluxConfig{});
    std::fputs(render_help(program.name, loaded->config, {dit, flux}).c_str(), stdout);
    return 0;
  }
  return std::nullopt;
}

}  // namespace

int job_main(int argc, char** argv, const JobProgram& program) {
  job_began_s();  // a time limit counts from here
  const std::vector<std::string> arguments(argv + 1 + program.leading_words, argv + argc);
  const StatusOr<LoadedConfig> loaded =
      load_config(program.settings.value_or(arguments), {.default_config = program.default_config});
  if (const std::optional<int> code = check_settings(program, loaded)) return *code;
  if (const std::optional<int> code = launch_ranks_if_asked(argc, argv)) return *code;
  parallel::quiet_libtorch();
  parallel::load_cuda_library();  // before any ATen call: LibTorch looks its CUDA hooks up once
  const StatusOr<RankEnv> rank = rank_env_from_environment();
  if (!rank.ok() || rank->is_main()) {
    for (const std::string& warning : loaded->warnings)
      TITAN_LOG(WARNING) << "[config] " << warning;
    for (const auto& [key, mapping] : loaded->mapped)
      TITAN_LOG(INFO) << "[config] " << key << ": " << mapping;
    if (loaded->config.job.print_args) std::fputs(render_toml(loaded->config).c_str(), stdout);
  }
  if (const Status status = models::register_builtin_models(); !status.ok())
    return exit_with(status);
  return run_rank(program, *loaded, arguments);
}

}  // namespace titan
