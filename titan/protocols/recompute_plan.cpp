#include "titan/protocols/recompute_plan.h"

#include <cmath>

#include "titan/config/selective_option.h"

namespace titan {
namespace {

/// How many of the first blocks the mode applies to. The small number: 0.29 x 100 is a little less
/// than 29 in floating point.
std::size_t covered(double fraction, std::size_t num_blocks) {
  return static_cast<std::size_t>(std::floor(fraction * static_cast<double>(num_blocks) + 1e-9));
}

}  // namespace

StatusOr<RecomputePlan> recompute_plan(const ActivationCheckpointSection& settings,
                                       std::size_t num_blocks) {
  if (settings.mode == "none") return RecomputePlan{};
  if (settings.mode != "full" && settings.mode != "selective") {
    return invalid_argument("activation_checkpoint.mode: must be none, full or selective (given \"",
                            settings.mode, "\")");
  }
  if (!(settings.fraction >= 0 && settings.fraction <= 1)) {
    return invalid_argument("activation_checkpoint.fraction: must be between 0 and 1 (given ",
                            settings.fraction, ")");
  }
  std::size_t every = 1;
  ops::KeepPolicy keep;
  if (settings.mode == "selective") {
    const StatusOr<SelectiveOption> option = parse_selective_option(settings.selective_ac_option);
    if (!option.ok()) {
      return invalid_argument("activation_checkpoint.selective_ac_option: ",
                              message_of(option.status()));
    }
    if (option->every > 0) {
      every = static_cast<std::size_t>(option->every);
    } else {
      for (const std::string& tag : settings.keep_ops) {
        if (tag == ops::kAttentionTag) continue;
        return invalid_argument("activation_checkpoint.keep_ops: unknown operation (given \"", tag,
                                "\")");
      }
      keep.tags = settings.keep_ops;
      keep.matmul_every = settings.keep_matmul_every;
    }
  }
  RecomputePlan plan(num_blocks);
  const std::size_t end = covered(settings.fraction, num_blocks);
  for (std::size_t i = every - 1; i < end; i += every) plan[i] = {.recompute = true, .keep = keep};
  return plan;
}

}  // namespace titan
