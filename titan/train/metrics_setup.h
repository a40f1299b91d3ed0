// metrics_setup.h: the sinks a run's settings ask for, and how figures are reduced over ranks.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "titan/base/status.h"
#include "titan/metrics/metrics_processor.h"
#include "titan/train/trainer.h"

namespace titan {

struct MetricsSetup {
  std::optional<int64_t> resumed_step;  ///< records after it are removed
  int64_t samples_before = 0;
  double flops_per_sample = 0;        ///< 0 = unknown
  std::vector<int64_t> sample_shape;  ///< C, H, W
};

/// Rank 0 writes metrics.jsonl, TensorBoard events and the screen; others TensorBoard events alone,
/// on wish. All ranks call.
StatusOr<std::unique_ptr<metrics::MetricsProcessor>> make_metrics(const TrainerContext& context,
                                                                  const MetricsSetup& setup);

}  // namespace titan
