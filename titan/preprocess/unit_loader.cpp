#include "titan/preprocess/unit_loader.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>

#include "titan/base/ceil_div.h"
#include "titan/data/slot_reader.h"

namespace titan::preprocess {
namespace {

/// One batch of samples, in order. Fields, shapes and types are those of the first.
Batch batch_of(std::vector<Sample>& samples, const std::vector<int64_t>& indices) {
  Batch batch;
  const auto count = static_cast<int64_t>(samples.size());
  batch.sample = at::empty({count}, at::kLong);
  batch.epoch = at::empty({count}, at::kLong);
  std::copy(indices.begin(), indices.end(), batch.sample.mutable_data_ptr<int64_t>());
  std::fill_n(batch.epoch.mutable_data_ptr<int64_t>(), count, 0);
  if (samples.empty()) return batch;
  for (const auto& [name, first] : samples.front().fields) {
    std::vector<at::Tensor> rows;
    for (const Sample& sample : samples) {
      rows.push_back(sample.fields.get(name));
      TITAN_CHECK(rows.back().defined() && rows.back().sizes() == first.sizes() &&
                      rows.back().scalar_type() == first.scalar_type(),
                  "[preprocess] samples of one data set have other fields '", name, "'");
    }
    batch.fields.set(name, at::stack(rows));
  }
  for (Sample& sample : samples) {
    batch.captions.push_back(std::move(sample.caption));
    batch.keys.push_back(std::move(sample.key));
  }
  return batch;
}

}  // namespace

std::vector<Step> steps_of_rank(const std::vector<int64_t>& units, int64_t samples,
                                int64_t samples_per_unit, int64_t batch_size, int rank,
                                int num_ranks) {
  std::vector<Step> steps;
  const auto count = static_cast<int64_t>(units.size());
  for (int64_t round = 0; round < ceil_div(count, num_ranks); ++round) {
    const int64_t mine = round * num_ranks + rank;
    for (int64_t first = 0; first < samples_per_unit; first += batch_size) {
      Step step;
      if (mine < count) {
        const int64_t unit = units[static_cast<std::size_t>(mine)];
        const int64_t unit_end = std::min(samples, (unit + 1) * samples_per_unit);
        step.unit = unit;
        step.begin = std::min(unit_end, unit * samples_per_unit + first);
        step.end = std::min(
            unit_end, unit * samples_per_unit + std::min(samples_per_unit, first + batch_size));
        step.last_of_unit = first + batch_size >= samples_per_unit;
      }
      steps.push_back(step);
    }
  }
  return steps;
}

/// A step whose samples are being read.
struct UnitLoader::Pending {
  explicit Pending(const Step& of)
      : step(of), samples(static_cast<std::size_t>(of.end - of.begin)), remaining(samples.size()) {}

  void put(std::size_t slot, StatusOr<Sample> sample) {
    const std::lock_guard<std::mutex> lock(mutex);
    samples[slot].emplace(std::move(sample));
    if (--remaining == 0) complete.notify_all();
  }

  Step step;
  std::mutex mutex;
  std::condition_variable complete;
  std::vector<std::optional<StatusOr<Sample>>> samples;
  std::size_t remaining;
};

UnitLoader::UnitLoader(std::shared_ptr<const Dataset> dataset, std::vector<Step> steps,
                       const UnitLoaderOptions& options, StageTimes& times)
    : dataset_(std::move(dataset)),
      steps_(std::move(steps)),
      options_(options),
      times_(times),
      pool_(static_cast<std::size_t>(options.num_workers),
            [] { c10::GradMode::set_enabled(false); }) {
  for (int64_t i = 0; i < options_.prefetch_batches; ++i) schedule_next();
}

void UnitLoader::schedule_next() {
  if (scheduled_ == steps_.size()) return;
  auto pending = std::make_shared<Pending>(steps_[scheduled_++]);
  pending_.push_back(pending);
  for (int64_t index = pending->step.begin; index < pending->step.end; ++index) {
    pool_.submit([this, pending, index] {
      const StageTimes::Span busy(times_, StageTimes::kDecode);
      pending->put(static_cast<std::size_t>(index - pending->step.begin),
                   read_sample(*dataset_, index, {.seed = options_.seed, .epoch = 0}));
    });
  }
}

StatusOr<std::optional<LoadedStep>> UnitLoader::next() {
  if (pending_.empty()) return std::optional<LoadedStep>();
  const std::shared_ptr<Pending> pending = std::move(pending_.front());
  pending_.pop_front();
  schedule_next();
  std::unique_lock<std::mutex> lock(pending->mutex);
  pending->complete.wait(lock, [&] { return pending->remaining == 0; });
  LoadedStep loaded{.step = pending->step, .batch = {}, .skipped = {}};
  std::vector<Sample> usable;
  std::vector<int64_t> indices;
  for (std::size_t slot = 0; slot < pending->samples.size(); ++slot) {
    StatusOr<Sample>& sample = *pending->samples[slot];
    const int64_t index = pending->step.begin + static_cast<int64_t>(slot);
    if (sample.ok()) {
      usable.push_back(*std::move(sample));
      indices.push_back(index);
      continue;
    }
    const std::string problem = named_problem(*dataset_, index, sample.status());
    if (!is_broken_sample(sample.status()))
      return Status(sample.status().code(), str_cat("[preprocess] cannot read ", problem));
    loaded.skipped.push_back({index, problem});
  }
  loaded.batch = batch_of(usable, indices);
  return std::optional(std::move(loaded));
}

}  // namespace titan::preprocess
