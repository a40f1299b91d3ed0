// batch_builder.h: one micro-batch under construction by several threads.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "titan/base/status.h"
#include "titan/data/batch.h"
#include "titan/data/slot_reader.h"

namespace titan {

/// Takes samples for its slots in any order, from any thread; the batch is complete when all have
/// come. Samples of a data set with a layout are read straight to their places(); otherwise the
/// first one decides fields, shapes and dtypes, and put() copies.
/// `pinned`, for a process that has a GPU: fields of a layout lie in LibTorch's pinned memory,
/// whose cache takes a block back only when the non-blocking copies from it are done. They are
/// allocated here, on the trainer's thread; without a layout a worker would, for whom the current
/// device is device 0 whichever is the rank's: such fields stay in ordinary memory.
class BatchBuilder {
 public:
  BatchBuilder(int64_t num_slots, int64_t cursor, const std::vector<FieldLayout>& layout,
               bool pinned = false);

  /// Where the fields of slot `i` belong, in the layout's order; empty without a layout.
  std::vector<std::byte*> places(int64_t i) const;
  /// Fills slot `i`, or notes its error. Each slot once.
  void put(int64_t i, StatusOr<FilledSlot> filled);

  /// Waits until every slot has come. The batch, or the error of the lowest slot that has one.
  /// Once. A wait that lasts notes in the thread's trace what it waits for, as `name` calls slots.
  StatusOr<Batch> take(const std::function<std::string(int64_t slot)>& name = {});
  /// After take(): what was skipped, in slot order.
  const std::vector<std::string>& broken() const { return broken_; }

 private:
  /// Start of a field of the layout, and bytes of one slot.
  struct Place {
    std::byte* begin;
    std::size_t stride;
  };
  void note_missing(const std::function<std::string(int64_t)>& name,
                    std::unique_lock<std::mutex>& lock) const;
  Status store(int64_t i, const FilledSlot& filled);
  Status copy_fields(int64_t i, const Sample& sample);

  const int64_t num_slots_;
  Batch batch_;
  std::vector<Place> places_;
  std::mutex mutex_;
  std::condition_variable complete_;
  int64_t remaining_;
  std::vector<bool> came_;  ///< by slot
  std::vector<Status> errors_;
  std::vector<std::vector<std::string>> broken_by_slot_;
  std::vector<std::string> broken_;
};

}  // namespace titan
