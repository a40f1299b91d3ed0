// slot_reader.h: fills one slot of a batch: reads its sample, retries errors that may pass,
// replaces broken samples.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/data/data_order.h"
#include "titan/data/dataset.h"

namespace titan {

/// What a slot came to hold.
struct FilledSlot {
  Sample sample;
  int64_t index = 0;  ///< the sample's index: the slot's own, or that of its replacement
  std::uint32_t epoch = 0;
  std::vector<std::string> broken;  ///< samples skipped on the way, named, with the reason
};

/// Reads the sample of `slot`; with `places` straight to them (Dataset::read_to), the result's
/// sample then has no fields. kDataLoss and kInvalidArgument mark a broken sample: the next of the
/// probe sequence is tried, up to 100. kUnavailable is retried three times, then fails. Anything
/// else fails.
StatusOr<FilledSlot> fill_slot(const Dataset& dataset, const DataOrder& order, std::uint64_t seed,
                               int64_t slot, const std::vector<std::byte*>& places = {});

/// The sample of `slot` for messages, with its place: "shapes-0001.tar:000123.jpg (global sample
/// 96)".
std::string slot_name(const Dataset& dataset, const DataOrder& order, int64_t slot);

/// Reads one sample as fill_slot does, without a replacement: kUnavailable is retried three times;
/// an exception becomes kInternal.
StatusOr<Sample> read_sample(const Dataset& dataset, int64_t index, const DrawKey& key);
/// Whether that error is the sample's own fault, so that the job can go on without it.
bool is_broken_sample(const Status& status);
/// "<sample>: <why>", the sample named once.
std::string named_problem(const Dataset& dataset, int64_t index, const Status& status);

}  // namespace titan
