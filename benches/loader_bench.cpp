// The loader of preprocessed samples: CPU time of a row, and whether a consumer that takes 160 MB/s
// ever waits.
//
//   loader_bench FOLDER [ROWS] [WORKERS]   prints one JSON object; scripts/bench_loader.py runs it
//   beside Python
#include <ATen/ATen.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string>
#include <thread>

#include "titan/config/job_config.h"
#include "titan/data/dataloader.h"
#include "titan/data/dataset.h"
#include "titan/data/encoded_rows.h"
#include "titan/memory/cpu_allocator.h"

namespace {

using Clock = std::chrono::steady_clock;
constexpr int64_t kBatch = 16;
constexpr double kConsumerBytesPerSecond = 160e6;

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::unique_ptr<titan::DataLoader> loader_of(const std::shared_ptr<const titan::Dataset>& dataset,
                                             int64_t workers, int64_t start) {
  return titan::DataLoader::create(dataset, {.micro_batch = kBatch,
                                             .global_batch = kBatch,
                                             .start_cursor = start / kBatch * kBatch,
                                             .shuffle = false,
                                             .num_workers = workers})
      .value();
}

int64_t bytes_of(const titan::Batch& batch) {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : batch.fields) bytes += static_cast<int64_t>(tensor.nbytes());
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: loader_bench FOLDER [ROWS] [WORKERS]\n");
    return 2;
  }
  titan::memory::install_cpu_allocator();  // as in training
  titan::JobConfig config;
  config.training.dataset = "cc12m_preprocessed";
  config.training.dataset_path = argv[1];
  auto opened = titan::open_dataset(config);
  if (!opened.ok()) {
    std::fprintf(stderr, "%s\n", titan::message_of(opened.status()).c_str());
    return 2;
  }
  const std::shared_ptr<const titan::Dataset> dataset = *std::move(opened);
  const int64_t rows = argc > 2 ? std::atoll(argv[2]) : dataset->size();
  const int64_t workers = argc > 3 ? std::atoll(argv[3]) : 1;

  // CPU time of the process, all threads: a batch is delivered, its memory goes back to the
  // allocator.
  auto loader = loader_of(dataset, workers, 0);
  for (int i = 0; i < 8; ++i) (void)loader->next().value();
  const double cpu_start = cpu_seconds();
  const Clock::time_point start = Clock::now();
  int64_t bytes = 0;
  double sum = 0;  // keeps the work alive
  for (int64_t row = 0; row < rows; row += kBatch) {
    const titan::Batch batch = loader->next().value();
    bytes += bytes_of(batch);
    sum += static_cast<double>(*batch.sample.const_data_ptr<int64_t>());
  }
  const double cpu = cpu_seconds() - cpu_start, wall = seconds_since(start);

  // One scan for values that are not finite, alone.
  const double scan_start = cpu_seconds();
  std::size_t scanned = 0;
  for (int64_t row = 0; row < std::min<int64_t>(rows, 64); ++row) {
    const titan::Sample sample = dataset->read(row % dataset->size(), {}).value();
    for (const char* field : titan::kEncodedFields) {
      const at::Tensor values = sample.fields.get(field);
      sum += titan::find_not_finite({static_cast<const std::byte*>(values.const_data_ptr()),
                                     static_cast<std::size_t>(values.nbytes())})
                 ? 1
                 : 0;
      scanned += values.nbytes();
    }
  }
  const double scan = cpu_seconds() - scan_start;

  // A consumer with a fixed appetite: sleeps for the time its batch would take.
  loader = loader_of(dataset, 2, 0);
  (void)loader->next().value();
  const double waited = loader->stats().wait_s;
  const Clock::time_point paced = Clock::now();
  int64_t taken = 0;
  for (int64_t row = 0; row < rows; row += kBatch) {
    taken += bytes_of(loader->next().value());
    std::this_thread::sleep_until(
        paced + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(
                    static_cast<double>(taken) / kConsumerBytesPerSecond)));
  }
  const double paced_wait = loader->stats().wait_s - waited, paced_wall = seconds_since(paced);

  // Seek: a loader made at the last batch of the data, until its first batch is there.
  const Clock::time_point seek = Clock::now();
  (void)loader_of(dataset, 1, dataset->size() - kBatch)->next().value();
  std::printf(
      "{\"rows_per_cpu_s\": %.1f, \"mb_per_s\": %.0f, \"scan_gb_per_s\": %.2f, "
      "\"paced_mb_per_s\": %.1f, \"paced_wait_share\": %.5f, \"seek_ms\": %.2f, \"sum\": %.0f}\n",
      static_cast<double>(rows) / cpu, static_cast<double>(bytes) / wall / 1e6,
      static_cast<double>(scanned) / scan / 1e9, static_cast<double>(taken) / paced_wall / 1e6,
      paced_wait / paced_wall, 1e3 * seconds_since(seek), sum);
  return 0;
}
