#include "titan/protocols/init.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include "titan/base/check.h"
#include "titan/base/hash.h"
#include "titan/base/philox.h"
#include "titan/kernels/philox.h"

namespace titan::init {
namespace {

constexpr int64_t kGrain = 32768;  // elements a task
// The counter's block is 32 bits wide: elements beyond 2^34 go on in the next epoch of the counter.
constexpr int64_t kElementsPerEpoch = int64_t{1} << 34;
// Second field of draws of a parameter, for values that are drawn again.
constexpr int64_t kRedraw = int64_t{1} << 16;

std::uint64_t philox_key_of(const ParameterKey& key) {
  return philox_key(key.seed, RandomPurpose::kParameterInit);
}

void fill_field(kernels::RandomField field, const ParameterKey& key, int64_t first_epoch,
                int64_t first, int64_t count, float* out) {
  const auto name_hash = static_cast<int64_t>(xxh3_64(key.name));
  while (count > 0) {
    const int64_t within = first % kElementsPerEpoch;
    const int64_t part = std::min(count, kElementsPerEpoch - within);
    kernels::philox_fill_cpu(field, philox_key_of(key), name_hash,
                             first_epoch + first / kElementsPerEpoch, within, part, out);
    first += part;
    out += part;
    count -= part;
  }
}

/// Calls make(first global element, count, out) for pieces of `slice` on several threads.
/// Values are made on the CPU in float32 whatever the parameter's device and dtype, so that every
/// layout starts from the same bits.
void fill(const Slice& slice, const std::function<void(int64_t, int64_t, float*)>& make) {
  const at::NoGradGuard no_grad;
  const at::Tensor& parameter = slice.values;
  const bool direct =
      parameter.is_cpu() && parameter.scalar_type() == at::kFloat && parameter.is_contiguous();
  const at::Tensor values =
      direct ? parameter : at::empty(parameter.sizes(), at::TensorOptions().dtype(at::kFloat));
  auto* const data = values.mutable_data_ptr<float>();
  at::parallel_for(0, values.numel(), kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; at += kGrain)
      make(slice.offset + at, std::min(kGrain, end - at), data + at);
  });
  if (!direct) parameter.copy_(values);
}

/// Inverse of the standard normal distribution function: Acklam's rational approximation (2003,
/// relative error 1.2e-9) and one Halley step on erfc, which makes it exact to double precision.
double inverse_normal(double p) {
  static constexpr double a[] = {-3.969683028665376e+01, 2.209460984245205e+02,
                                 -2.759285104469687e+02, 1.383577518672690e+02,
                                 -3.066479806614716e+01, 2.506628277459239e+00};
  static constexpr double b[] = {-5.447609879822406e+01, 1.615858368580409e+02,
                                 -1.556989798598866e+02, 6.680131188771972e+01,
                                 -1.328068155288572e+01};
  static constexpr double c[] = {-7.784894002430293e-03, -3.223964580411365e-01,
                                 -2.400758277161838e+00, -2.549732539343734e+00,
                                 4.374664141464968e+00,  2.938163982698783e+00};
  static constexpr double d[] = {7.784695709041462e-03, 3.224671290700398e-01,
                                 2.445134137142996e+00, 3.754408661907416e+00};
  const auto tail = [](double q) {
    return (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) /
           ((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
  };
  double x;
  if (p < 0.02425) {
    x = tail(std::sqrt(-2 * std::log(p)));
  } else if (p > 1 - 0.02425) {
    x = -tail(std::sqrt(-2 * std::log1p(-p)));
  } else {
    const double q = p - 0.5, r = q * q;
    x = (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * q /
        (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
  }
  const double error = 0.5 * std::erfc(-x / std::numbers::sqrt2) - p;
  const double step = error * std::sqrt(2 * std::numbers::pi) * std::exp(0.5 * x * x);
  return x - step / (1 + 0.5 * x * step);
}

}  // namespace

void normal_(const Slice& parameter, const ParameterKey& key, double stddev) {
  fill(parameter, [&](int64_t first, int64_t count, float* out) {
    fill_field(kernels::RandomField::kNormal, key, 0, first, count, out);
    for (int64_t i = 0; i < count; ++i) out[i] *= static_cast<float>(stddev);
  });
}

void truncated_normal_(const Slice& parameter, const ParameterKey& key, double stddev,
                       double limit) {
  TITAN_CHECK(stddev > 0 && limit > 0, "[init] truncated normal wants stddev and limit above 0 (",
              key.name, ", stddev=", stddev, ", limit=", limit, ")");
  const double bound = limit / stddev;
  const double low = 0.5 * std::erfc(bound / std::numbers::sqrt2);  // probability below -limit
  fill(parameter, [&](int64_t first, int64_t count, float* out) {
    fill_field(kernels::RandomField::kNormal, key, 0, first, count, out);
    for (int64_t i = 0; i < count; ++i) {
      double z = out[i];
      // A normal inside the limits has the truncated density already; only what falls outside is
      // drawn again.
      if (std::abs(z) > bound) {
        float again;
        fill_field(kernels::RandomField::kUniform, key, kRedraw, first + i, 1, &again);
        z = std::clamp(inverse_normal(low + static_cast<double>(again) * (1 - 2 * low)), -bound,
                       bound);
      }
      out[i] = static_cast<float>(z * stddev);
    }
  });
}

void uniform_(const Slice& parameter, const ParameterKey& key, double low, double high) {
  TITAN_CHECK(low <= high, "[init] uniform wants low <= high (", key.name, ", low=", low,
              ", high=", high, ")");
  fill(parameter, [&](int64_t first, int64_t count, float* out) {
    fill_field(kernels::RandomField::kUniform, key, 0, first, count, out);
    for (int64_t i = 0; i < count; ++i)
      out[i] = static_cast<float>(low + (high - low) * static_cast<double>(out[i]));
  });
}

double xavier_bound(at::IntArrayRef shape) {
  TITAN_CHECK(shape.size() >= 2, "[init] Xavier wants a matrix or more dimensions (", shape.size(),
              ")");
  int64_t fan_in = 1;
  for (const int64_t size : shape.slice(1)) fan_in *= size;
  return std::sqrt(6.0 / static_cast<double>(fan_in + shape[0]));
}

void xavier_uniform_(const Slice& parameter, const ParameterKey& key) {
  const double bound = xavier_bound(parameter.shape);
  uniform_(parameter, key, -bound, bound);
}

void constant_(const Slice& parameter, double value) {
  const at::NoGradGuard no_grad;
  parameter.values.fill_(value);
}

}  // namespace titan::init
