#include "titan/data/slot_reader.h"

#include <chrono>
#include <exception>
#include <thread>
#include <utility>

#include "titan/base/log.h"

namespace titan {
namespace {

constexpr int kRetries = 3;
constexpr std::uint32_t kMaxProbes = 100;

StatusOr<Sample> read_guarded(const Dataset& dataset, int64_t index, const DrawKey& key,
                              const std::vector<std::byte*>& places) {
  try {
    if (!places.empty()) {
      TITAN_RETURN_IF_ERROR(dataset.read_to(index, key, places));
      return Sample();
    }
    return dataset.read(index, key);
  } catch (const std::exception& error) {
    return internal_error(error.what());
  }
}

StatusOr<Sample> read_with_retries(const Dataset& dataset, int64_t index, const DrawKey& key,
                                   const std::vector<std::byte*>& places) {
  std::chrono::milliseconds pause(50);
  for (int attempt = 0;; ++attempt) {
    StatusOr<Sample> sample = read_guarded(dataset, index, key, places);
    if (sample.status().code() != absl::StatusCode::kUnavailable || attempt == kRetries)
      return sample;
    TITAN_LOG(WARNING) << "[data] retrying " << named_problem(dataset, index, sample.status());
    std::this_thread::sleep_for(pause);
    pause *= 2;
  }
}

}  // namespace

std::string named_problem(const Dataset& dataset, int64_t index, const Status& status) {
  const std::string name = dataset.describe(index);
  const std::string why = message_of(status);
  return why.find(name) != std::string::npos ? why : name + ": " + why;
}

std::string slot_name(const Dataset& dataset, const DataOrder& order, int64_t slot) {
  return str_cat(dataset.describe(order.sample(order.place(slot))), " (global sample ", slot, ")");
}

bool is_broken_sample(const Status& status) {
  return status.code() == absl::StatusCode::kDataLoss ||
         status.code() == absl::StatusCode::kInvalidArgument;
}

StatusOr<Sample> read_sample(const Dataset& dataset, int64_t index, const DrawKey& key) {
  return read_with_retries(dataset, index, key, {});
}

StatusOr<FilledSlot> fill_slot(const Dataset& dataset, const DataOrder& order, std::uint64_t seed,
                               int64_t slot, const std::vector<std::byte*>& places) {
  const OrderPlace place = order.place(slot);
  const int64_t own = order.sample(place);
  FilledSlot filled{.sample = {}, .index = own, .epoch = place.epoch, .broken = {}};
  for (std::uint32_t attempt = 0; attempt <= kMaxProbes; ++attempt) {
    if (attempt > 0) filled.index = order.probe(place.epoch, own, attempt - 1);
    StatusOr<Sample> sample =
        read_with_retries(dataset, filled.index, {.seed = seed, .epoch = place.epoch}, places);
    if (sample.ok()) {
      filled.sample = *std::move(sample);
      return filled;
    }
    const std::string problem = named_problem(dataset, filled.index, sample.status());
    if (!is_broken_sample(sample.status()))
      return Status(sample.status().code(), str_cat("[data] cannot read ", problem));
    filled.broken.push_back(problem);
  }
  return data_loss("[data] no usable sample in ", filled.broken.size(),
                   " attempts; the last one: ", filled.broken.back());
}

}  // namespace titan
