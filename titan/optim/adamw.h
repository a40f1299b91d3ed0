// adamw.h: AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) on flat buffers, computed in float32;
// weights and moments may be stored in less (kernels/adamw.h).
//
//   p <- p (1 - lr wd)    m <- b1 m + (1 - b1) g    v <- b2 v + (1 - b2) g^2
//   p <- p - lr / (1 - b1^n) m / (sqrt(v) / sqrt(1 - b2^n) + eps)
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/config/job_config.h"
#include "titan/ops/adamw.h"
#include "titan/optim/ema.h"
#include "titan/optim/step_state.h"
#include "titan/parallel/flat_parameters.h"

namespace titan::optim {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.1;
  std::vector<std::string> no_decay = {};  ///< no decay where the name contains one of these
  bool fused = true;  ///< one pass over all buffers; false = the same in plain operations
  at::ScalarType state_dtype = at::kFloat;  ///< of the moments; bfloat16 only where fused
  std::uint64_t seed = 0;                   ///< of what is rounded at random
};

/// The options that [optimizer] asks for; Adam is AdamW without weight decay.
AdamWOptions adamw_options(const OptimizerSection& section, std::uint64_t seed = 0);

/// The moments of one unit, laid out as the unit's flat buffers; what a checkpoint keeps.
struct MomentState {
  std::string unit;
  at::Tensor exp_avg;     ///< float32 or bfloat16, zero in padding
  at::Tensor exp_avg_sq;  ///< the same
};

class AdamW {
 public:
  /// `units` outlives the optimizer; moments start at zero.
  AdamW(std::vector<parallel::FlatUnit>& units, AdamWOptions options);

  /// One update of every unit's weights from its `grad`, which is scaled by `clip_coefficient` ([]
  /// float32) first, unless it is undefined; the plain update leaves it scaled. The caller tells
  /// the parameters that weights have changed. The count of steps is the caller's: state.step.
  /// Weights and moments stay as they are where `skip` ([] float32 on the device, or undefined) is
  /// 1. `averages`, if any, then follow the weights, by state.average_share.
  void step(const StepState& state, const at::Tensor& clip_coefficient = {},
            const at::Tensor& skip = {}, Ema* averages = nullptr);

  /// Whether step() also writes FlatUnit::copy: FlatParameters::weights_changed wants to know.
  bool writes_copies() const { return options_.fused; }

  /// One entry per unit, in order; contents may be overwritten by a loader.
  std::vector<MomentState>& moments() { return moments_; }
  const std::vector<MomentState>& moments() const { return moments_; }

  /// A run of a unit's buffers that is updated in one call: neighbouring parameters of one group,
  /// padding between included.
  struct Segment {
    std::size_t unit = 0;
    int64_t offset = 0;
    int64_t length = 0;
    bool decay = true;
  };
  const std::vector<Segment>& segments() const { return segments_; }

 private:
  void fused_step(const Segment& segment, const ops::AdamWStep& step, const Ema* averages) const;
  void plain_step(const StepState& state, const Segment& segment);

  std::vector<parallel::FlatUnit>& units_;
  AdamWOptions options_;
  std::vector<MomentState> moments_;
  std::vector<Segment> segments_;
};

}  // namespace titan::optim
