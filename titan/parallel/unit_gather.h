// unit_gather.h: whole units where the model computes with them. A unit that is not resident gets a
// slot of memory, this rank's slice in the compute dtype and, from the other ranks, the rest; after
// its use the slot goes to another unit. Resident units are filled the same way, once after each
// change of the weights.
#pragma once

#include <optional>
#include <vector>

#include "titan/parallel/communicator.h"
#include "titan/parallel/flat_parameters.h"
#include "titan/parallel/gather_schedule.h"
#include "titan/parallel/slot_memory.h"

namespace titan::parallel {

class UnitGather {
 public:
  /// `ranks`: those that hold the slices. `parameters` outlives this object.
  UnitGather(FlatParameters& parameters, Communicator ranks, GatherSchedule schedule);
  ~UnitGather();
  UnitGather(const UnitGather&) = delete;
  UnitGather& operator=(const UnitGather&) = delete;

  void begin_pass(bool with_backward) { with_backward_ = with_backward; }
  /// The unit is whole afterwards, the next ones are under way.
  void before_forward(std::size_t unit);
  void after_forward(std::size_t unit);
  void before_backward(std::size_t unit);
  void after_backward(std::size_t unit);
  /// Fills the units that stay whole, where weights have changed since.
  void fill_resident();

  const GatherSchedule& schedule() const { return schedule_; }
  /// Memory of all slots.
  int64_t slot_bytes() const { return memory_.total_bytes(); }

 private:
  struct State {
    std::optional<std::size_t> slot;
    std::int64_t version = 0;    ///< of the weights that were gathered last, or are under way
    std::int64_t announced = 0;  ///< version of which the leaves were told
    PendingCollective pending;
  };
  void begin(std::size_t unit);
  void need(const std::vector<std::size_t>& units);
  void give_back(std::size_t unit);

  FlatParameters& parameters_;
  Communicator ranks_;
  GatherSchedule schedule_;
  SlotMemory memory_;
  std::vector<State> states_;
  bool with_backward_ = false;
};

}  // namespace titan::parallel
