// optimizer.h: settings of from gradients to weights.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "titan/config/fields.h"

namespace titan {

struct OptimizerSection {
  std::string name = "AdamW";
  double lr = 8e-4;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.1;
  std::vector<std::string> no_decay = {};
  std::string implementation = "fused";
  std::string state_dtype = "float32";
  std::string master_weights = "float32";
};
template <class V>
void visit_fields(OptimizerSection& c, V&& v) {
  v("name", c.name, "optimizer; Adam = AdamW without weight decay",
    rule::one_of({"AdamW", "Adam"}));
  v("lr", c.lr, "peak learning rate", rule::above(0));
  v("beta1", c.beta1, "decay of the first moment",
    FieldRule{.min = 0, .max = 1, .max_exclusive = true});
  v("beta2", c.beta2, "decay of the second moment",
    FieldRule{.min = 0, .max = 1, .max_exclusive = true});
  v("eps", c.eps, "added to the root of the second moment", rule::above(0));
  v("weight_decay", c.weight_decay, "decoupled weight decay", rule::at_least(0));
  v("no_decay", c.no_decay,
    "parameters whose name contains one of these texts get no weight decay (e.g. "
    "bias,norm,embedder)");
  v("implementation", c.implementation,
    "one pass over all buffers, or the same in plain operations",
    rule::one_of({"fused", "foreach", "for-loop"}));
  v("state_dtype", c.state_dtype, "storage of the moments; they are updated in float32",
    rule::one_of({"float32", "bfloat16"}));
  v("master_weights", c.master_weights,
    "how weights are kept beside their bfloat16 copy: float32; remainder = the 16 bits that the "
    "copy lacks (the same updates in 2 bytes less); stochastic = not at all, updates are rounded "
    "at random",
    rule::one_of({"float32", "remainder", "stochastic"}));
}

struct LrSchedulerSection {
  std::string name = "wsd";
  int64_t warmup_steps = 200;
  std::optional<double> decay_ratio;
  std::string decay_type = "linear";
  double lr_min = 0.0;
  double power = 1.0;
  int64_t num_cycles = 1;
};
template <class V>
void visit_fields(LrSchedulerSection& c, V&& v) {
  v("name", c.name,
    "wsd (warmup, stable, decay), linear (TorchDiTan's warm-up and decay), polynomial, or "
    "cosine_restarts",
    rule::one_of({"wsd", "linear", "polynomial", "cosine_restarts"}));
  v("warmup_steps", c.warmup_steps, "steps of linear warm-up", rule::at_least(0));
  v("decay_ratio", c.decay_ratio,
    "wsd: share of the steps that decays; unset = all after the warm-up", rule::between(0, 1));
  v("decay_type", c.decay_type, "wsd: shape of the decay",
    rule::one_of({"linear", "cosine", "sqrt", "constant"}));
  v("lr_min", c.lr_min, "end of the decay, as a share of optimizer.lr", rule::between(0, 1));
  v("power", c.power, "polynomial: exponent", rule::above(0));
  v("num_cycles", c.num_cycles, "cosine_restarts: number of cycles", rule::at_least(1));
}

struct EmaSection {
  bool enable = false;
  double decay = 0.9999;
  std::optional<double> half_life;
  int64_t interval = 1;
  int64_t start_step = 0;
};
template <class V>
void visit_fields(EmaSection& c, V&& v) {
  v("enable", c.enable, "keep an exponential moving average of the weights, in float32");
  v("decay", c.decay, "share kept at each update",
    FieldRule{.min = 0, .max = 1, .max_exclusive = true});
  v("half_life", c.half_life,
    "steps in which a weight's share halves; replaces decay: 2^(-interval / half_life)",
    rule::above(0));
  v("interval", c.interval, "steps between updates", rule::at_least(1));
  v("start_step", c.start_step, "before this step the average is a copy of the weights",
    rule::at_least(0));
}

}  // namespace titan
