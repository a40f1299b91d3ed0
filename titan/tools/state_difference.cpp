#include "titan/tools/state_difference.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <map>

#include "titan/checkpoint/checkpoint_reader.h"

namespace titan {
namespace {

using checkpoint::CheckpointReader;

/// "optim.exp_avg" of "optim.exp_avg.blocks.0.w": prefixes that checkpoints use.
std::vector<std::string> groups_of(const CheckpointReader& reader) {
  std::vector<std::string> groups;
  for (const char* prefix : {"model", "ema", "optim.exp_avg", "optim.exp_avg_sq"})
    if (reader.has_prefix(prefix)) groups.emplace_back(prefix);
  return groups;
}

struct Sums {
  double difference = 0;  ///< squared
  double reference = 0;
};

void add(const std::string& name, const at::Tensor& reference, const at::Tensor& other,
         GroupDifference& result, Sums& sums) {
  result.elements += reference.numel();
  if (reference.numel() == 0) return;
  const at::Tensor bits = reference.reshape({-1}).view(at::kInt);
  const int64_t unequal = bits.ne(other.reshape({-1}).view(at::kInt)).sum().item<int64_t>();
  result.unequal += unequal;
  const at::Tensor wide = reference.to(at::kDouble);
  sums.reference += wide.square().sum().item<double>();
  if (unequal == 0) return;
  const at::Tensor difference = (other.to(at::kDouble) - wide).abs();
  sums.difference += difference.square().sum().item<double>();
  double largest = difference.max().item<double>();
  if (std::isnan(largest)) largest = std::numeric_limits<double>::infinity();
  if (largest >= result.largest) {
    result.largest = largest;
    result.largest_in = name;
  }
}

}  // namespace

StatusOr<std::vector<GroupDifference>> compare_states(const std::string& reference,
                                                      const std::string& other) {
  TITAN_ASSIGN_OR_RETURN(const CheckpointReader left, CheckpointReader::open(reference));
  TITAN_ASSIGN_OR_RETURN(const CheckpointReader right, CheckpointReader::open(other));
  if (groups_of(left) != groups_of(right))
    return failed_precondition("[verify-resume] ", reference, " and ", other,
                               " hold different kinds of state");
  std::vector<GroupDifference> results;
  for (const std::string& group : groups_of(left)) {
    if (left.names(group) != right.names(group))
      return failed_precondition("[verify-resume] ", reference, " and ", other,
                                 " hold different tensors under ", group);
    GroupDifference result;
    result.group = group;
    Sums sums;
    for (const std::string& name : left.names(group)) {
      const std::string key = group + "." + name;
      TITAN_ASSIGN_OR_RETURN(const at::Tensor mine, left.read_whole(key));
      TITAN_ASSIGN_OR_RETURN(const at::Tensor theirs, right.read_whole(key));
      if (mine.sizes() != theirs.sizes() || mine.scalar_type() != at::kFloat ||
          theirs.scalar_type() != at::kFloat)
        return failed_precondition("[verify-resume] ", key, " has another shape or type in ",
                                   other);
      add(name, mine, theirs, result, sums);
    }
    result.relative = sums.difference == 0  ? 0
                      : sums.reference == 0 ? std::numeric_limits<double>::infinity()
                                            : std::sqrt(sums.difference / sums.reference);
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace titan
