#include "titan/tools/bench/job_benches.h"

#include <sys/resource.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <numeric>
#include <vector>

#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>

#include "titan/data/dataloader.h"
#include "titan/parallel/process_group.h"
#include "titan/tools/bench/measure.h"
#include "titan/train/batch_plan.h"
#include "titan/train/model_setup.h"

namespace titan::tools {
namespace {

using Clock = std::chrono::steady_clock;
constexpr double kLoaderSeconds = 5;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double bytes_of(const Batch& batch) {
  double bytes = 0;
  for (const auto& [name, tensor] : batch.fields) bytes += static_cast<double>(tensor.nbytes());
  return bytes;
}

}  // namespace

StatusOr<JobOutcome> bench_loader(const JobContext& job) {
  const JobConfig& config = job.config;
  TITAN_ASSIGN_OR_RETURN(const ModelSpec spec, complete_spec(config));
  TITAN_ASSIGN_OR_RETURN(std::unique_ptr<Dataset> opened, spec.dataset(config));
  const std::shared_ptr<const Dataset> dataset = std::move(opened);
  const int64_t ranks = job.rank.world_size;
  TITAN_ASSIGN_OR_RETURN(const BatchPlan batches,
                         plan_batches(config.training.batch_size, 0, ranks));
  TITAN_ASSIGN_OR_RETURN(
      const std::unique_ptr<DataLoader> loader,
      DataLoader::create(dataset, {.micro_batch = batches.micro_batch,
                                   .global_batch = batches.global_batch,
                                   .dp_rank = job.rank.rank,
                                   .dp_size = job.rank.world_size,
                                   .shuffle = config.training.shuffle,
                                   .num_workers = config.dataset.num_workers,
                                   .prefetch_batches = config.dataset.prefetch_batches,
                                   .max_broken_share = config.dataset.max_broken_share}));
  for (int64_t i = 0; i < config.dataset.prefetch_batches; ++i)  // the slots are mapped
    TITAN_RETURN_IF_ERROR(loader->next().status());
  const Clock::time_point start = Clock::now();
  const double cpu_start = cpu_seconds();
  double samples = 0, bytes = 0;
  while (seconds_since(start) < kLoaderSeconds) {
    TITAN_ASSIGN_OR_RETURN(const Batch batch, loader->next());
    samples += static_cast<double>(batch.size());
    bytes += bytes_of(batch);
  }
  const double wall = seconds_since(start), cpu = cpu_seconds() - cpu_start;
  const std::vector<double> total = job.ranks.control().all_reduce_values(
      {samples / wall, bytes / wall}, parallel::Reduction::kSum);
  if (job.rank.is_main()) {
    std::printf(
        "## titan bench loader\n\n%s, batches of %lld, %lld workers, %lld ranks\n\n"
        "| samples/s | MB/s | samples per CPU second (rank 0) |\n|---|---|---|\n"
        "| %.0f | %.1f | %.0f |\n",
        config.training.dataset.c_str(), static_cast<long long>(batches.micro_batch),
        static_cast<long long>(config.dataset.num_workers), static_cast<long long>(ranks), total[0],
        1e-6 * total[1], samples / cpu);
  }
  return JobOutcome::kDone;
}

namespace {

constexpr int kCollectives = 3;
using Seconds = std::array<double, kCollectives>;  // all-reduce, all-gather, reduce-scatter

/// Of the slowest rank. A fixed number of rounds: every rank must make the same calls.
Seconds time_collectives(parallel::Communicator& ranks, int64_t length, c10::Device device) {
  const auto options = at::TensorOptions().device(device);
  const at::Tensor whole = at::ones({length}, options);
  const at::Tensor part = at::ones({length / ranks.size()}, options);
  const std::array<std::function<void()>, kCollectives> works = {
      [&] { ranks.all_reduce_(whole); }, [&] { ranks.all_gather_async_(whole, part).wait(); },
      [&] { ranks.reduce_scatter_async_(part, whole).wait(); }};
  constexpr int kRounds = 5;
  std::vector<double> seconds;
  for (const std::function<void()>& work : works) {
    work();
    ranks.barrier();
    const Clock::time_point start = Clock::now();
    for (int i = 0; i < kRounds; ++i) work();
    ranks.barrier();  // and the device's work is done
    seconds.push_back(seconds_since(start) / kRounds);
  }
  seconds = ranks.all_reduce_values(seconds, parallel::Reduction::kMax);
  return {seconds[0], seconds[1], seconds[2]};
}

}  // namespace

StatusOr<JobOutcome> bench_collectives(const JobContext& job) {
  const int64_t world = job.rank.world_size;
  if (world < 2)
    return invalid_argument("[bench] collectives need ranks: NGPU=2 titan bench collectives");
  std::vector<int64_t> all(static_cast<std::size_t>(world));
  std::iota(all.begin(), all.end(), 0);
  const bool cpu = job.device.is_cpu();
  parallel::Communicator ranks = job.ranks.open_group("bench", all);
  parallel::Communicator gloo =
      cpu ? job.ranks.open_group("bench over gloo", all, /*shared_memory=*/false) : ranks;
  if (job.rank.is_main()) {
    std::printf(
        "## titan bench collectives\n\n%lld ranks on %s. Bytes of the whole tensor over "
        "the time of the slowest rank, in GB/s%s.\n\n"
        "| MiB | all-reduce | all-gather | reduce-scatter |\n|---|---|---|---|\n",
        static_cast<long long>(world), job.device.str().c_str(),
        cpu ? "; beside Gloo over loopback in the same run, medians of turns" : "");
  }
  for (const int64_t mib : {1, 4, 16, 64}) {
    const int64_t length = (mib << 20) / 4 / world * world;
    std::array<std::vector<double>, kCollectives> ours, theirs;
    for (int turn = 0; turn < (cpu ? 5 : 1); ++turn) {
      const Seconds mine = time_collectives(ranks, length, job.device);
      const Seconds other = cpu ? time_collectives(gloo, length, job.device) : mine;
      for (std::size_t c = 0; c < kCollectives; ++c) {
        ours[c].push_back(mine[c]);
        theirs[c].push_back(other[c]);
      }
    }
    if (!job.rank.is_main()) continue;
    std::printf("| %lld |", static_cast<long long>(mib));
    const double gigabytes = 4e-9 * static_cast<double>(length);
    for (std::size_t c = 0; c < kCollectives; ++c) {
      const double own = median(ours[c]), other = median(theirs[c]);
      std::printf(" %.2f", gigabytes / own);
      if (cpu) std::printf(" (Gloo %.2f, %.1fx)", gigabytes / other, other / own);
      std::printf(" |");
    }
    std::printf("\n");
  }
  return JobOutcome::kDone;
}

}  // namespace titan::tools
