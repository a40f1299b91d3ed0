#include "titan/optim/grad_norm.h"

#include <algorithm>
#include <numeric>

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>

#include "titan/base/check.h"

namespace titan::optim {
namespace {

// Chunks of fixed size, added up in order: the same bits on any number of threads. Partial sums in
// float64 lose nothing.
constexpr int64_t kChunk = 65536;
constexpr int kLanes = 16;

double sum_of_squares(const float* data, int64_t count) {
  double lane_sum[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const auto value = static_cast<double>(data[i + lane]);
      lane_sum[lane] += value * value;
    }
  }
  for (; i < count; ++i) lane_sum[0] += static_cast<double>(data[i]) * static_cast<double>(data[i]);
  return std::accumulate(lane_sum, lane_sum + kLanes, 0.0);
}

double sum_of_squares_cpu(const at::Tensor& flat) {
  const auto* const data = flat.const_data_ptr<float>();
  const int64_t count = flat.numel();
  std::vector<double> partial(static_cast<std::size_t>((count + kChunk - 1) / kChunk));
  at::parallel_for(0, static_cast<int64_t>(partial.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c)
      partial[static_cast<std::size_t>(c)] =
          sum_of_squares(data + c * kChunk, std::min(kChunk, count - c * kChunk));
  });
  return std::accumulate(partial.begin(), partial.end(), 0.0);
}

}  // namespace

at::Tensor global_grad_norm(const std::vector<parallel::FlatUnit>& units, const ReduceSum& reduce) {
  const at::NoGradGuard no_grad;
  TITAN_CHECK(!units.empty(), "[grad_norm] needs at least one unit");
  at::Tensor total = at::zeros({}, units.front().grad.options().dtype(at::kDouble));
  for (const parallel::FlatUnit& unit : units) {
    if (unit.grad.numel() == 0) continue;
    TITAN_CHECK(unit.grad.is_contiguous() && unit.grad.scalar_type() == at::kFloat,
                "[grad_norm] gradients are contiguous float32 (", unit.name, ")");
    if (unit.grad.is_cpu()) {
      total.add_(sum_of_squares_cpu(unit.grad));
    } else {
      total.add_(at::linalg_vector_norm(unit.grad, 2).to(at::kDouble).square_());
    }
  }
  if (reduce) reduce(total);
  return total.sqrt_().to(at::kFloat);
}

at::Tensor clip_coefficient(const at::Tensor& norm, double max_norm) {
  TITAN_CHECK(max_norm > 0, "[grad_norm] max_norm is above 0 (", max_norm, ")");
  return (norm + 1e-6).reciprocal_().mul_(max_norm).clamp_max_(1.0);
}

}  // namespace titan::optim
