// ema.h: exponential moving average of the weights, float32 however the weights are kept, laid out
// as the flat buffers.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/config/job_config.h"
#include "titan/parallel/flat_parameters.h"

namespace titan::optim {

struct EmaOptions {
  double decay = 0.9999;   ///< share kept at each update
  int64_t interval = 1;    ///< steps between updates
  int64_t start_step = 0;  ///< before this step the average is a copy of the weights
};

/// The options that [ema] asks for: a half-life h replaces the decay by 2^(-interval / h).
EmaOptions ema_options(const EmaSection& section);

class Ema {
 public:
  /// Starts as a copy of the weights, rounded to float32. `parameters` outlives the average.
  Ema(parallel::FlatParameters& parameters, EmaOptions options);

  /// Share of the weights in the average after optimizer step `step` (counted from 1): 1 - decay
  /// where interval divides `step`, else 0; 1 before start_step.
  double share(int64_t step) const;
  /// average <- (1 - share) average + share weights. AdamW does it in its own pass where it can.
  void update(int64_t step);

  /// Makes the average a copy of the weights again.
  void copy_weights();

  /// Exchanges the contents of weights and average (no storage moves); the model computes with the
  /// other from its next pass on. Twice gives every bit back. Where weights are bfloat16 alone, the
  /// shadows are no averages in between: they hold the 16 bits of them that did not fit, and the
  /// weights.
  void swap();

  /// The average of each unit, in order, as its flat buffers; contents may be overwritten by a
  /// loader.
  const std::vector<at::Tensor>& shadows() const { return shadows_; }

  /// The model computes with the averaged weights while this lives.
  class Scope {
   public:
    /// Does nothing where `ema` is null.
    explicit Scope(Ema* ema) : ema_(ema) {
      if (ema_ != nullptr) ema_->swap();
    }
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Ema* ema_;
  };

 private:
  parallel::FlatParameters& parameters_;
  EmaOptions options_;
  std::vector<at::Tensor> shadows_;
  bool swapped_ = false;
};

}  // namespace titan::optim
