#include "titan/plan/dry_run.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "titan/parallel/device_mesh.h"

namespace titan::plan {
namespace {

/// How far each parameter of a unit is covered by the ranks seen so far, which come in order.
class Coverage {
 public:
  explicit Coverage(const parallel::UnitLayout& unit) : unit_(unit) {}

  Status add(const std::vector<parallel::Fragment>& fragments) {
    for (const parallel::Fragment& fragment : fragments) {
      int64_t& end = ends_[fragment.name];
      if (fragment.global_offset != end) {
        return internal_error("[plan] ", unit_.name, ": ", fragment.name, " is held from element ",
                              fragment.global_offset, " on, ", end, " was due");
      }
      end += fragment.length;
    }
    return ok_status();
  }
  Status complete() const {
    for (const parallel::Fragment& parameter : unit_.parameters) {
      const auto found = ends_.find(parameter.name);
      const int64_t end = found == ends_.end() ? 0 : found->second;
      if (end == parameter.length) continue;
      return internal_error("[plan] ", unit_.name, ": of ", parameter.name, " ", end, " of ",
                            parameter.length, " elements are held");
    }
    return ok_status();
  }

 private:
  const parallel::UnitLayout& unit_;
  std::map<std::string, int64_t> ends_;
};

StatusOr<int64_t> check_fragments(const std::vector<parallel::UnitLayout>& units,
                                  const parallel::ParallelDims& dims) {
  int64_t count = 0;
  for (const parallel::UnitLayout& unit : units) {
    std::vector<Coverage> replicas(static_cast<std::size_t>(dims.dp_replicate), Coverage(unit));
    for (int64_t rank = 0; rank < dims.world_size(); ++rank) {
      const parallel::DeviceMesh mesh(dims, rank);
      const std::vector<parallel::Fragment> fragments =
          parallel::fragments_of(unit, mesh.coordinate("dp_shard"));
      count += static_cast<int64_t>(fragments.size());
      auto& replica = replicas[static_cast<std::size_t>(mesh.coordinate("dp_replicate"))];
      TITAN_RETURN_IF_ERROR(replica.add(fragments));
    }
    for (const Coverage& replica : replicas) TITAN_RETURN_IF_ERROR(replica.complete());
  }
  return count;
}

/// Every rank's group along `axis`; the same list for each of its members, the rank at its
/// coordinate. Gives the number of groups.
StatusOr<int64_t> check_groups(const parallel::ParallelDims& dims, const std::string& axis) {
  std::map<int64_t, std::vector<int64_t>> groups;  // by first member
  int64_t members = 0;
  for (int64_t rank = 0; rank < dims.world_size(); ++rank) {
    const parallel::DeviceMesh mesh(dims, rank);
    const std::vector<int64_t> ranks = mesh.group(axis);
    const auto [place, is_new] = groups.emplace(ranks.front(), ranks);
    if (is_new) members += static_cast<int64_t>(ranks.size());
    const auto position = static_cast<std::size_t>(mesh.coordinate(axis));
    if (place->second != ranks || position >= ranks.size() || ranks[position] != rank)
      return internal_error("[plan] rank ", rank, " sees another group along ", axis,
                            " than its members do");
  }
  if (members != dims.world_size())
    return internal_error("[plan] groups along ", axis, " hold ", members, " ranks of ",
                          dims.world_size());
  return dims.world_size() == static_cast<int64_t>(groups.size())
             ? int64_t{0}  // groups of one talk to nobody
             : static_cast<int64_t>(groups.size());
}

}  // namespace

void walk_units(EngineWalk& walk, std::size_t units, int64_t accumulation) {
  walk.begin_step();
  for (int64_t i = 0; i < accumulation; ++i) {
    walk.begin_micro_batch(i);
    walk.begin_pass(/*with_backward=*/true);
    for (std::size_t u = 0; u < units; ++u) {
      walk.before_forward(u);
      walk.after_forward(u);
    }
    for (std::size_t u = units; u-- > 0;) {
      walk.before_backward(u);
      walk.gradients_ready(u);
    }
  }
  walk.finish();
}

StatusOr<DryRun> dry_run(const std::vector<parallel::UnitLayout>& units,
                         const parallel::ParallelDims& dims, const EngineShape& shape) {
  DryRun result{.ranks = dims.world_size()};
  TITAN_ASSIGN_OR_RETURN(result.fragments, check_fragments(units, dims));
  TITAN_ASSIGN_OR_RETURN(const int64_t shards, check_groups(dims, "dp_shard"));
  TITAN_ASSIGN_OR_RETURN(const int64_t replicas, check_groups(dims, "dp_replicate"));
  result.groups = 2 * shards + replicas;  // parameters and gradients each have their own
  for (const parallel::UnitLayout& unit : units)
    result.largest_slice += unit.shard_length * static_cast<int64_t>(sizeof(float));
  for (int64_t rank = 0; rank < result.ranks; ++rank) {
    LiveBytes live;
    EngineWalk walk(units, shape, live);
    walk_units(walk, units.size(), std::min<int64_t>(shape.accumulation, 3));
    if (rank > 0 && (walk.gather_slot_bytes() != result.gather_slots ||
                     walk.message_slot_bytes() != result.message_slots || live.now != 0))
      return internal_error("[plan] rank ", rank, " needs other slots than rank 0");
    result.gather_slots = walk.gather_slot_bytes();
    result.message_slots = walk.message_slot_bytes();
  }
  return result;
}

}  // namespace titan::plan
