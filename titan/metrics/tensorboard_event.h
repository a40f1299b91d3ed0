// tensorboard_event.h: TensorFlow's Event message (tensorflow/core/util/event.proto), the few
// fields that scalars need:
//   Event   { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5;
//   SessionLog = 7 } Summary { repeated Value { string tag = 1; float simple_value = 2 } value = 1
//   } SessionLog { enum status = 1 (START = 1) }
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace titan::metrics {

/// The first event of a file.
std::string version_event(double wall_time);
/// Scalars of one step.
std::string scalar_event(double wall_time, int64_t step,
                         const std::vector<std::pair<std::string, double>>& scalars);
/// Tells readers that the run starts again at `step`: they drop what they hold of this step and
/// later ones.
std::string restart_event(double wall_time, int64_t step);
/// The event's step (0 where it has none); nothing where the bytes are no event.
std::optional<int64_t> step_of_event(std::string_view event);

}  // namespace titan::metrics
