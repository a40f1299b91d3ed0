#include "titan/data/batch_builder.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>
#include <iterator>

#include <ATen/ATen.h>

#include "titan/base/trace.h"

namespace titan {

namespace {

constexpr std::chrono::milliseconds kLongWait{500};  // then somebody may want to know for what

at::Tensor empty_batch(int64_t num_slots, at::IntArrayRef sizes, at::ScalarType type, bool pinned) {
  std::vector<int64_t> whole = {num_slots};
  whole.insert(whole.end(), sizes.begin(), sizes.end());
  return at::empty(whole, at::TensorOptions(type).pinned_memory(pinned));
}

}  // namespace

BatchBuilder::BatchBuilder(int64_t num_slots, int64_t cursor,
                           const std::vector<FieldLayout>& layout, bool pinned)
    : num_slots_(num_slots),
      remaining_(num_slots),
      came_(num_slots),
      errors_(num_slots),
      broken_by_slot_(num_slots) {
  batch_.cursor = cursor;
  batch_.sample = empty_batch(num_slots, {}, at::kLong, pinned);
  batch_.epoch = empty_batch(num_slots, {}, at::kLong, pinned);
  batch_.captions.resize(num_slots);
  batch_.keys.resize(num_slots);
  for (const FieldLayout& field : layout) {
    const at::Tensor whole = empty_batch(num_slots, field.sizes, field.type, pinned);
    places_.push_back({static_cast<std::byte*>(whole.mutable_data_ptr()), field.size_bytes()});
    batch_.fields.set(field.name, whole);
  }
}

std::vector<std::byte*> BatchBuilder::places(int64_t i) const {
  std::vector<std::byte*> places;
  places.reserve(places_.size());
  for (const Place& field : places_)
    places.push_back(field.begin + static_cast<std::size_t>(i) * field.stride);
  return places;
}

void BatchBuilder::put(int64_t i, StatusOr<FilledSlot> filled) {
  Status status = filled.status();
  if (status.ok()) {
    status = store(i, *filled);
    broken_by_slot_[i] = std::move(filled->broken);
    batch_.captions[i] = std::move(filled->sample.caption);
    batch_.keys[i] = std::move(filled->sample.key);
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  came_[i] = true;
  errors_[i] = std::move(status);
  if (--remaining_ == 0) complete_.notify_all();
}

Status BatchBuilder::store(int64_t i, const FilledSlot& filled) {
  batch_.sample.mutable_data_ptr<int64_t>()[i] = filled.index;
  batch_.epoch.mutable_data_ptr<int64_t>()[i] = filled.epoch;
  Status status;
  if (!places_.empty()) return status;  // the sample is there already
  try {
    status = copy_fields(i, filled.sample);
  } catch (const std::exception& error) {  // out of memory: a pool's task must not throw
    status = internal_error(error.what());
  }
  return annotate(status, str_cat("[data] sample ", filled.index));
}

Status BatchBuilder::copy_fields(int64_t i, const Sample& sample) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (batch_.fields.empty()) {
      for (const auto& [name, tensor] : sample.fields)
        batch_.fields.set(name,
                          empty_batch(num_slots_, tensor.sizes(), tensor.scalar_type(), false));
    }
  }
  // The fields are made once and then only read here: places of different slots do not meet.
  if (batch_.fields.size() != sample.fields.size())
    return internal_error("has other fields than the rest of its batch");
  for (const auto& [name, tensor] : sample.fields) {
    const at::Tensor whole = batch_.fields.get(name);
    if (!whole.defined() || whole.scalar_type() != tensor.scalar_type() ||
        whole.sizes().slice(1) != tensor.sizes())
      return internal_error("has a field '", name,
                            "' of another shape or type than the rest of its batch");
    // memcpy, not copy_: an ATen operator would start an OpenMP team in every worker thread.
    const at::Tensor dense = tensor.contiguous();
    std::memcpy(static_cast<char*>(whole.mutable_data_ptr()) + i * dense.nbytes(),
                dense.const_data_ptr(), dense.nbytes());
  }
  return ok_status();
}

/// Unlocks meanwhile: a data set's names may take a look at its index.
void BatchBuilder::note_missing(const std::function<std::string(int64_t)>& name,
                                std::unique_lock<std::mutex>& lock) const {
  Trace* const trace = current_trace();
  const auto missing = std::find(came_.begin(), came_.end(), false);
  if (trace == nullptr || !name || missing == came_.end()) return;
  const int64_t slot = missing - came_.begin(), more = remaining_ - 1;
  lock.unlock();
  trace->note(name(slot) + (more > 0 ? " and " + std::to_string(more) + " more" : ""));
  lock.lock();
}

StatusOr<Batch> BatchBuilder::take(const std::function<std::string(int64_t slot)>& name) {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!complete_.wait_for(lock, kLongWait, [this] { return remaining_ == 0; }))
    note_missing(name, lock);
  for (std::vector<std::string>& slot : broken_by_slot_)
    broken_.insert(broken_.end(), std::make_move_iterator(slot.begin()),
                   std::make_move_iterator(slot.end()));
  for (const Status& status : errors_) TITAN_RETURN_IF_ERROR(status);
  for (std::vector<std::string>* texts : {&batch_.captions, &batch_.keys}) {
    const bool none = std::all_of(texts->begin(), texts->end(),
                                  [](const std::string& text) { return text.empty(); });
    if (none) texts->clear();
  }
  return std::move(batch_);
}

}  // namespace titan
