// put_off.h: what was due after a step when a run was stopped there, and is done when it goes on.
// metrics.jsonl remembers it. No torch.
#pragma once

#include <cstdint>
#include <string>

#include "titan/metrics/sink.h"

namespace titan {

struct PutOff {
  bool evaluation = false;
  bool evaluation_pictures = false;  ///< those that follow an evaluation
  bool pictures = false;             ///< those of [sampling]

  bool any() const { return evaluation || evaluation_pictures || pictures; }
  /// "the evaluation, the pictures"
  std::string text() const;
};

/// The event that says so after `step`.
metrics::EventRecord put_off_event(const PutOff& left, int64_t step);

/// What the metrics file at `path` says was put off after `step` and has not been done since.
PutOff find_put_off(const std::string& path, int64_t step);

}  // namespace titan
