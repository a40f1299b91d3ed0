#include "titan/plan/engine_walk.h"

namespace titan::plan {
namespace {
constexpr int64_t kFloat = 4;
constexpr std::size_t kScattersInFlight = 2;  // as GradientReduction
}  // namespace

StaticBytes static_bytes(const std::vector<parallel::UnitLayout>& units, const EngineShape& shape,
                         bool averages) {
  StaticBytes bytes;
  const bool in_place = shape.resident && shape.compute_size == shape.weight_size && !shape.offload;
  for (const parallel::UnitLayout& unit : units) {
    const int64_t slice = unit.shard_length;
    if (shape.resident) bytes.parameters += unit.length * shape.compute_size;
    bytes.master += slice * ((in_place ? 0 : shape.weight_size) + shape.remainder_size);
    if (averages) bytes.averages += slice * kFloat;
    if (!unit.trainable()) continue;
    bytes.gradients += slice * shape.gradient_size;
    bytes.moments += 2 * slice * shape.moment_size;
    if (shape.keeps_whole_gradients()) {
      // One rank's slice is the whole, and serves as such.
      const bool is_slice = !shape.sharded() && !shape.offload;
      if (!is_slice) bytes.whole_gradients += unit.length * kFloat;
    }
  }
  return bytes;
}

EngineWalk::EngineWalk(const std::vector<parallel::UnitLayout>& units, const EngineShape& shape,
                       LiveBytes& live)
    : units_(units),
      shape_(shape),
      live_(live),
      schedule_{.num_units = units.size(),
                .reshard = shape.reshard,
                .prefetch = static_cast<std::size_t>(shape.prefetch)},
      states_(units.size()) {
  for (const parallel::UnitLayout& unit : units_) {
    starts_.push_back(gradient_elements_);
    if (unit.trainable()) gradient_elements_ += unit.shard_length;
  }
}

void EngineWalk::begin_step() {
  ++version_;
  unreduced_end_ = gradient_elements_;
  gathered_bytes_ = reduced_bytes_ = 0;
}

void EngineWalk::begin(std::size_t unit) {
  Gather& state = states_[unit];
  if (state.version == version_) return;
  wait(state);
  const int64_t bytes = units_[unit].length * shape_.compute_size;
  if (!shape_.resident && !state.slot) state.slot = gathers_.acquire(bytes);
  state.version = version_;
  if (!shape_.sharded()) return;
  gathered_bytes_ += bytes;
  if (!shape_.copies_in_flight) return;
  state.in_flight = bytes;
  live_.add(bytes);
}

void EngineWalk::wait(Gather& gather) {
  live_.subtract(gather.in_flight);
  gather.in_flight = 0;
}

void EngineWalk::need(const std::vector<std::size_t>& units) {
  for (const std::size_t unit : units) begin(unit);
  wait(states_[units.front()]);
}

void EngineWalk::give_back(std::size_t unit) {
  Gather& state = states_[unit];
  if (!state.slot) return;
  wait(state);
  gathers_.release(*state.slot);
  state.slot.reset();
  state.version = 0;
}

void EngineWalk::after_forward(std::size_t unit) {
  if (!with_backward_ || !schedule_.keeps(unit)) give_back(unit);
}

void EngineWalk::gradients_ready(std::size_t unit) {
  give_back(unit);
  if (!units_[unit].trainable()) return;
  if (shape_.resident || shape_.keeps_whole_gradients()) {
    if (!last_micro_batch()) return;
    if (!shape_.sharded() && !shape_.offload) {
      slice_done(unit);
    } else {
      start_scatter(unit, std::nullopt);
    }
    return;
  }
  start_scatter(unit, messages_.acquire(units_[unit].length * shape_.reduce_size));
}

void EngineWalk::start_scatter(std::size_t unit, std::optional<std::size_t> slot) {
  const parallel::UnitLayout& layout = units_[unit];
  Scatter scatter{.unit = unit, .input_slot = slot};
  const bool whole_kept = shape_.resident || shape_.keeps_whole_gradients();
  if (!slot && shape_.reduce_size != kFloat)
    scatter.input_slot = messages_.acquire(layout.length * shape_.reduce_size);
  const bool first = whole_kept || micro_batch_ == 0;
  if (!first || shape_.offload || shape_.reduce_size != shape_.gradient_size)
    scatter.output_slot = messages_.acquire(layout.shard_length * shape_.reduce_size);
  if (shape_.sharded()) {
    reduced_bytes_ += layout.length * shape_.reduce_size;
    if (shape_.copies_in_flight) scatter.in_flight = layout.length * shape_.reduce_size;
  }
  live_.add(scatter.in_flight);
  scatters_.push_back(scatter);
  if (scatters_.size() > kScattersInFlight) complete_oldest_scatter();
}

void EngineWalk::complete_oldest_scatter() {
  const Scatter scatter = scatters_.front();
  scatters_.pop_front();
  live_.subtract(scatter.in_flight);
  if (scatter.output_slot) {
    const bool adds = !(shape_.resident || shape_.keeps_whole_gradients()) && micro_batch_ > 0;
    if (adds && (shape_.reduce_size != shape_.gradient_size || shape_.offload)) {
      const int64_t converted = units_[scatter.unit].shard_length * kFloat;
      live_.add(converted);
      live_.subtract(converted);
    }
    messages_.release(*scatter.output_slot);
  }
  if (scatter.input_slot) messages_.release(*scatter.input_slot);
  if (last_micro_batch()) slice_done(scatter.unit);
}

void EngineWalk::slice_done(std::size_t unit) {
  if ((unreduced_end_ - starts_[unit]) * shape_.reduce_size >= shape_.bucket_bytes)
    reduce_over_replicas(starts_[unit]);
}

void EngineWalk::reduce_over_replicas(int64_t begin) {
  const int64_t length = unreduced_end_ - begin;
  unreduced_end_ = begin;
  if (shape_.replicas == 1 || length == 0) return;
  reduced_bytes_ += length * shape_.reduce_size;
  if (shape_.reduce_size == shape_.gradient_size && !shape_.offload) return;
  bucket_copies_ += length * shape_.reduce_size;
  live_.add(length * shape_.reduce_size);
}

void EngineWalk::finish() {
  while (!scatters_.empty()) complete_oldest_scatter();
  reduce_over_replicas(0);
  live_.subtract(bucket_copies_);
  bucket_copies_ = 0;
}

}  // namespace titan::plan
