// lr_schedule.h: learning rate over time, a pure function of the step.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/config/job_config.h"

namespace titan::optim {

/// Factor on optimizer.lr after `completed_steps` (k) of `total_steps` (N) optimizer steps: step n,
/// counted from 1, uses k = n - 1. With w = min(warmup_steps, N):
///
///   wsd (torchtitan's): k < w: (k + 1) / w; then 1; the last d steps lr_min + (1 - lr_min) g(p), p
///   = (k + 1 - (w + s)) / d,
///     g = 1 - p | (1 + cos(pi p)) / 2 | 1 - sqrt(p) | 1, where d = round_half_even(N decay_ratio),
///     N - w where unset, and s = N + 1 - w - d (one virtual extra step: no step that is made has p
///     = 1)
///   linear (TorchDiTan's): k < w: (k + 1) / (w + 1); then lr_min + (1 - lr_min) (1 - (k - w) / (N
///   - w)) polynomial: warm-up of wsd; then lr_min + (1 - lr_min) (1 - (k - w) / (N - w))^power
///   cosine_restarts: warm-up of wsd; then lr_min + (1 - lr_min) (1 + cos(pi frac(num_cycles (k -
///   w) / (N - w)))) / 2
double lr_multiplier(const LrSchedulerSection& schedule, std::int64_t total_steps,
                     std::int64_t completed_steps);

/// What in `schedule` does not fit into `total_steps` and is shortened by lr_multiplier; one
/// sentence each, to be logged once.
std::vector<std::string> lr_schedule_warnings(const LrSchedulerSection& schedule,
                                              std::int64_t total_steps);

}  // namespace titan::optim
