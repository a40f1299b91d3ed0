#include "titan/optim/lr_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "titan/base/check.h"

namespace titan::optim {
namespace {

/// Lengths of the three phases of warm-up, stable, decay.
struct Phases {
  std::int64_t warmup = 0, stable = 0, decay = 0;
};

// nearbyint in the default mode rounds halves to even, as Python's round does.
std::int64_t asked_decay(const LrSchedulerSection& schedule, std::int64_t total_steps) {
  return static_cast<std::int64_t>(
      std::nearbyint(static_cast<double>(total_steps) * *schedule.decay_ratio));
}

Phases phases_of(const LrSchedulerSection& schedule, std::int64_t total_steps) {
  Phases phases;
  phases.warmup = std::min(schedule.warmup_steps, total_steps);
  const std::int64_t rest = total_steps - phases.warmup;
  phases.decay = schedule.decay_ratio ? std::min(asked_decay(schedule, total_steps), rest) : rest;
  phases.stable = total_steps + 1 - phases.warmup - phases.decay;
  return phases;
}

double decay_shape(const std::string& type, double p) {
  if (type == "linear") return 1 - p;
  if (type == "cosine") return 0.5 * (1 + std::cos(std::numbers::pi * p));
  if (type == "sqrt") return 1 - std::sqrt(p);
  TITAN_CHECK(type == "constant", "[lr_scheduler] decay_type is linear, cosine, sqrt or constant (",
              type, ")");
  return 1;
}

double warmup_stable_decay(const LrSchedulerSection& schedule, std::int64_t total_steps,
                           std::int64_t k) {
  const Phases phases = phases_of(schedule, total_steps);
  const std::int64_t before_decay = phases.warmup + phases.stable;
  if (k < before_decay) return 1;
  const double p =
      std::min(1.0, static_cast<double>(k + 1 - before_decay) / static_cast<double>(phases.decay));
  return decay_shape(schedule.decay_type, p);
}

double cosine_restarts(double p, std::int64_t num_cycles) {
  if (p >= 1) return 0;
  const double cycles = p * static_cast<double>(num_cycles);
  return 0.5 * (1 + std::cos(std::numbers::pi * (cycles - std::floor(cycles))));
}

}  // namespace

double lr_multiplier(const LrSchedulerSection& schedule, std::int64_t total_steps,
                     std::int64_t completed_steps) {
  TITAN_CHECK(total_steps >= 1 && completed_steps >= 0,
              "[lr_scheduler] wants 1 step or more (total_steps=", total_steps,
              ", completed_steps=", completed_steps, ")");
  const std::int64_t warmup = std::min(schedule.warmup_steps, total_steps);
  const auto k = static_cast<double>(completed_steps);
  const auto w = static_cast<double>(warmup);
  if (completed_steps < warmup) return (k + 1) / (schedule.name == "linear" ? w + 1 : w);

  const double rest = static_cast<double>(total_steps) - w;
  const double p = rest > 0 ? std::min(1.0, (k - w) / rest) : 1.0;
  double shape = 0;
  if (schedule.name == "wsd") {
    shape = warmup_stable_decay(schedule, total_steps, completed_steps);
  } else if (schedule.name == "linear") {
    shape = 1 - p;
  } else if (schedule.name == "polynomial") {
    shape = std::pow(1 - p, schedule.power);
  } else {
    TITAN_CHECK(schedule.name == "cosine_restarts", "[lr_scheduler] unknown name (", schedule.name,
                ")");
    shape = cosine_restarts(p, schedule.num_cycles);
  }
  return schedule.lr_min + (1 - schedule.lr_min) * shape;
}

std::vector<std::string> lr_schedule_warnings(const LrSchedulerSection& schedule,
                                              std::int64_t total_steps) {
  std::vector<std::string> warnings;
  if (schedule.warmup_steps > total_steps) {
    warnings.push_back(str_cat(
        "[lr_scheduler] the warm-up is longer than the training and ends with it (warmup_steps=",
        schedule.warmup_steps, ", training.steps=", total_steps, ")"));
  }
  const std::int64_t rest = total_steps - std::min(schedule.warmup_steps, total_steps);
  if (schedule.name == "wsd" && schedule.decay_ratio && asked_decay(schedule, total_steps) > rest) {
    warnings.push_back(
        str_cat("[lr_scheduler] warm-up and decay exceed the training; the decay is shortened to ",
                rest, " steps (warmup_steps=", schedule.warmup_steps,
                ", decay_ratio=", *schedule.decay_ratio, ", training.steps=", total_steps, ")"));
  }
  return warnings;
}

}  // namespace titan::optim
