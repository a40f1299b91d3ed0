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
#include <vector>

#include "titan/config/job_config.h"
#include "titan/data/dataloader.h"
#include "titan/data/dataset.h"
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

std::shared_ptr<const titan::Dataset> dataset_in(const std::string& folder) {
  titan::JobConfig config;
  config.training.dataset = "cc12m_preprocessed";
  config.training.dataset_path = folder;
  auto opened = titan::open_dataset(config);
  if (!opened.ok()) {
    std::fprintf(stderr, "%s\n", titan::message_of(opened.status()).c_str());
    std::exit(2);
  }
  return *std::move(opened);
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
  const std::string folder = argv[1];
  std::shared_ptr<const titan::Dataset> dataset = dataset_in(folder);
  const int64_t rows = argc > 2 ? std::atoll(argv[2]) : dataset->size();
  const int64_t workers = argc > 3 ? std::atoll(argv[3]) : 1;

  // CPU time of the process, all threads: a batch is delivered, its memory goes back to the
  // allocator. Enough batches go first that the batches' memory is mapped, as in a run; then the
  // data is opened anew, so that no page of the files is mapped yet, as in an epoch.
  auto loader = loader_of(dataset, workers, 0);
  for (int i = 0; i < 8; ++i) (void)loader->next().value();
  dataset = dataset_in(folder);
  loader = loader_of(dataset, workers, 0);
  (void)loader->next().value();  // from here on every batch taken is a batch read
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

  // Rows copied and looked at, nothing else: no loader, no threads.
  std::vector<at::Tensor> memory;
  std::size_t row_bytes = 0;
  for (const titan::FieldLayout& field : dataset->layout()) {
    row_bytes += field.size_bytes();
    memory.push_back(at::zeros({64, static_cast<int64_t>(field.size_bytes())}, at::kByte));
  }
  const double copy_start = cpu_seconds();
  for (int64_t row = 0; row < 64; ++row) {
    std::vector<std::byte*> places;
    for (const at::Tensor& field : memory)
      places.push_back(reinterpret_cast<std::byte*>(field[row].mutable_data_ptr<std::uint8_t>()));
    const titan::Status status = dataset->read_to(row % dataset->size(), {}, places);
    if (!status.ok()) std::fprintf(stderr, "%s\n", titan::message_of(status).c_str());
  }
  const double copy = cpu_seconds() - copy_start;

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
      "{\"rows_per_cpu_s\": %.1f, \"mb_per_s\": %.0f, \"copy_gb_per_s\": %.2f, "
      "\"paced_mb_per_s\": %.1f, \"paced_wait_share\": %.5f, \"seek_ms\": %.2f, \"sum\": %.0f}\n",
      static_cast<double>(rows) / cpu, static_cast<double>(bytes) / wall / 1e6,
      64.0 * static_cast<double>(row_bytes) / copy / 1e9,
      static_cast<double>(taken) / paced_wall / 1e6, paced_wait / paced_wall,
      1e3 * seconds_since(seek), sum);
  return 0;
}
