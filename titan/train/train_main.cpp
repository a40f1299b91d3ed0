#include "titan/train/train_main.h"

#include <ATen/Parallel.h>
#include <torch/version.h>

#include <cstdio>
#include <cstring>
#include <memory>

#include "titan/base/log.h"
#include "titan/config/render.h"
#include "titan/io/atomic_file.h"
#include "titan/train/job_main.h"
#include "titan/train/run_folder.h"
#include "titan/train/run_info.h"
#include "titan/train/trainer.h"

namespace titan {
namespace {

StatusOr<RunFolder> open_run_folder(const JobConfig& config, const RankEnv& rank) {
  if (!rank.is_main()) return RunFolder::view(config.job.dump_folder);
  TITAN_ASSIGN_OR_RETURN(RunFolder folder, RunFolder::open(config.job.dump_folder));
  TITAN_RETURN_IF_ERROR(write_file_atomically(folder.config_path().string(), render_toml(config)));
  return folder;
}

StatusOr<JobOutcome> train(const JobContext& job) {
  TITAN_ASSIGN_OR_RETURN(const RunFolder folder, open_run_folder(job.config, job.rank));
  TITAN_LOG(INFO) << "[train] LibTorch " << TORCH_VERSION << " on " << job.device << ", "
                  << at::get_num_threads() << " threads; run folder " << folder.path().string();
  TITAN_ASSIGN_OR_RETURN(
      const std::unique_ptr<Trainer> trainer,
      Trainer::create({job.config, job.rank, job.device, job.ranks, folder, job.arguments}));
  return trainer->train();
}

}  // namespace

int train_main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--version") == 0) {
    std::printf("%s\n", version_line().c_str());
    return 0;
  }
  return job_main(argc, argv, {.name = "train", .default_config = "dit_shapes", .run = train});
}

}  // namespace titan
