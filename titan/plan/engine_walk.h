// engine_walk.h: a step of the parallel engine in numbers: the slots that gathered units and
// messages get, and what collectives hold while they are under way. No torch. Follows UnitGather
// and GradientReduction call by call; tests hold the two together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "titan/parallel/gather_schedule.h"
#include "titan/parallel/slot_table.h"
#include "titan/parallel/unit_layout.h"
#include "titan/plan/live_bytes.h"

namespace titan::plan {

/// What of a layout decides about memory. Element sizes in bytes.
struct EngineShape {
  int64_t shard_ranks = 1;
  int64_t replicas = 1;
  bool resident = true;
  bool offload = false;
  int64_t compute_size = 4;
  int64_t reduce_size = 4;
  int64_t weight_size = 4;     ///< of the weights that are updated
  int64_t remainder_size = 0;  ///< of what is kept beside them
  int64_t gradient_size = 4;
  int64_t moment_size = 4;
  parallel::Reshard reshard = parallel::Reshard::kDefault;
  int64_t prefetch = 1;
  int64_t bucket_bytes = 25LL << 20;
  bool each_micro_batch = false;
  int64_t accumulation = 1;
  /// Gloo reduces into a copy and gathers through one; shared memory and NCCL work in place.
  bool copies_in_flight = false;

  bool sharded() const { return shard_ranks > 1; }
  /// Whether whole float32 gradients of all units are kept beside the slices.
  bool keeps_whole_gradients() const {
    return resident ? sharded() || offload : accumulation > 1 && !each_micro_batch;
  }
};

/// Memory that stays for the life of a job, in bytes on this rank. `host` parts lie in host memory
/// with offload.
struct StaticBytes {
  int64_t parameters = 0;       ///< whole units in the compute dtype, where they stay
  int64_t master = 0;           ///< slices, where they are not part of the whole units
  int64_t gradients = 0;        ///< slices
  int64_t whole_gradients = 0;  ///< float32, whole
  int64_t moments = 0;          ///< of AdamW
  int64_t averages = 0;         ///< EMA

  int64_t total() const {
    return parameters + master + gradients + whole_gradients + moments + averages;
  }
  /// What follows the master weights into host memory.
  int64_t state() const { return master + gradients + moments + averages; }
};

StaticBytes static_bytes(const std::vector<parallel::UnitLayout>& units, const EngineShape& shape,
                         bool averages);

/// The engine's calls in the order of the runner's hooks. What collectives hold for a while goes to
/// `live`; slots, which stay, are counted apart.
class EngineWalk {
 public:
  /// `units` and `live` outlive this object.
  EngineWalk(const std::vector<parallel::UnitLayout>& units, const EngineShape& shape,
             LiveBytes& live);

  void begin_step();
  void begin_micro_batch(int64_t index) { micro_batch_ = index; }
  void begin_pass(bool with_backward) { with_backward_ = with_backward; }
  void before_forward(std::size_t unit) { need(schedule_.wanted_forward(unit)); }
  void after_forward(std::size_t unit);
  void before_backward(std::size_t unit) { need(schedule_.wanted_backward(unit)); }
  void gradients_ready(std::size_t unit);
  void finish();

  int64_t gather_slot_bytes() const { return gathers_.total_bytes(); }
  int64_t message_slot_bytes() const { return messages_.total_bytes(); }
  /// Bytes that passed through this rank's collectives since begin_step(), whole buffers counted.
  int64_t gathered_bytes() const { return gathered_bytes_; }
  int64_t reduced_bytes() const { return reduced_bytes_; }

 private:
  struct Gather {
    std::optional<std::size_t> slot = {};
    int64_t version = 0;
    int64_t in_flight = 0;  ///< bytes held until it is waited for
  };
  struct Scatter {
    std::size_t unit = 0;
    std::optional<std::size_t> input_slot = {}, output_slot = {};
    int64_t in_flight = 0;
  };
  bool last_micro_batch() const { return micro_batch_ + 1 == shape_.accumulation; }
  void begin(std::size_t unit);
  void need(const std::vector<std::size_t>& units);
  void wait(Gather& gather);
  void give_back(std::size_t unit);
  void start_scatter(std::size_t unit, std::optional<std::size_t> slot);
  void complete_oldest_scatter();
  void slice_done(std::size_t unit);
  void reduce_over_replicas(int64_t begin);

  const std::vector<parallel::UnitLayout>& units_;
  EngineShape shape_;
  LiveBytes& live_;
  parallel::GatherSchedule schedule_;
  parallel::SlotTable gathers_, messages_;
  std::vector<Gather> states_;
  std::vector<int64_t> starts_;  ///< per unit: first element of its slice in all gradients
  int64_t gradient_elements_ = 0;
  std::deque<Scatter> scatters_;
  int64_t bucket_copies_ = 0;
  int64_t version_ = 0;
  int64_t micro_batch_ = 0;
  int64_t unreduced_end_ = 0;
  bool with_backward_ = false;
  int64_t gathered_bytes_ = 0, reduced_bytes_ = 0;
};

}  // namespace titan::plan
