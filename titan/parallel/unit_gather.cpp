#include "titan/parallel/unit_gather.h"

#include <exception>
#include <utility>

#include <ATen/core/grad_mode.h>

#include "titan/base/check.h"
#include "titan/base/log.h"

namespace titan::parallel {

UnitGather::UnitGather(FlatParameters& parameters, Communicator ranks, GatherSchedule schedule)
    : parameters_(parameters),
      ranks_(std::move(ranks)),
      schedule_(schedule),
      memory_(parameters.compute_options().device()),
      states_(parameters.units().size()) {
  TITAN_CHECK(schedule_.num_units == states_.size(), "[gather] the schedule is of ",
              schedule_.num_units, " units, the model has ", states_.size());
  TITAN_CHECK(ranks_.size() == parameters.options().shard.ranks,
              "[gather] the group holds the slices (group=", ranks_.size(),
              ", slices=", parameters.options().shard.ranks, ")");
}

UnitGather::~UnitGather() {
  // What is under way writes into slots that are about to go.
  for (State& state : states_) {
    try {
      state.pending.wait();
    } catch (const std::exception& error) {
      TITAN_LOG(WARNING) << "[gather] given up: " << error.what();
    }
  }
}

/// Starts filling a unit unless it is whole or under way.
void UnitGather::begin(std::size_t unit) {
  State& state = states_[unit];
  if (state.version == parameters_.version()) return;
  state.pending.wait();  // of older weights
  const UnitLayout& layout = parameters_.layouts()[unit];
  at::Tensor whole = parameters_.whole(unit);
  const at::ScalarType dtype = parameters_.options().compute_dtype;
  if (!whole.defined()) {
    if (!state.slot) state.slot = memory_.acquire(layout.length, dtype);
    whole = memory_.view(*state.slot, layout.length, dtype);
    parameters_.storage(unit).point_at(whole);
  }
  const at::NoGradGuard no_grad;
  const at::Tensor mine =
      whole.narrow(0, parameters_.options().shard.rank * layout.shard_length, layout.shard_length);
  const at::Tensor& master = parameters_.units()[unit].master;
  if (mine.data_ptr() != master.data_ptr() && !parameters_.copy_follows(unit, state.version))
    mine.copy_(master, /*non_blocking=*/true);
  state.pending = ranks_.all_gather_async_(whole, mine);
  state.version = parameters_.version();
  // A unit that is gathered again holds what it held before: that is no change.
  if (state.announced != state.version) parameters_.storage(unit).contents_changed();
  state.announced = state.version;
}

void UnitGather::need(const std::vector<std::size_t>& units) {
  for (const std::size_t unit : units) begin(unit);
  states_[units.front()].pending.wait();
}

void UnitGather::give_back(std::size_t unit) {
  State& state = states_[unit];
  if (!state.slot) return;
  state.pending.wait();
  parameters_.storage(unit).clear();
  memory_.release(*state.slot);
  state.slot.reset();
  state.version = 0;
}

void UnitGather::before_forward(std::size_t unit) { need(schedule_.wanted_forward(unit)); }

void UnitGather::after_forward(std::size_t unit) {
  if (!with_backward_ || !schedule_.keeps(unit)) give_back(unit);
}

void UnitGather::before_backward(std::size_t unit) { need(schedule_.wanted_backward(unit)); }

void UnitGather::after_backward(std::size_t unit) { give_back(unit); }

void UnitGather::fill_resident() {
  for (std::size_t unit = 0; unit < states_.size(); ++unit)
    if (parameters_.whole(unit).defined()) need({unit});
}

}  // namespace titan::parallel
