#include "titan/report/downsample.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "titan/base/check.h"

namespace titan::report {

std::vector<std::size_t> bucket_borders(std::size_t records, std::size_t max_buckets) {
  TITAN_CHECK(max_buckets >= 3, "[report] at least 3 buckets (max_buckets=", max_buckets, ")");
  std::vector<std::size_t> borders;
  if (records == 0) return borders;
  if (records <= max_buckets) {
    for (std::size_t i = 0; i <= records; ++i) borders.push_back(i);
    return borders;
  }
  const std::size_t inner_records = records - 2, inner_buckets = max_buckets - 2;
  borders.push_back(0);
  for (std::size_t i = 0; i <= inner_buckets; ++i)
    borders.push_back(1 + inner_records * i / inner_buckets);
  borders.push_back(records);
  return borders;
}

BucketValues summarize(const std::vector<double>& values, const std::vector<std::size_t>& borders) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  BucketValues result;
  for (std::size_t i = 0; i + 1 < borders.size(); ++i) {
    double sum = 0, low = kNone, high = kNone;
    std::int64_t finite = 0;
    for (std::size_t at = borders[i]; at < borders[i + 1]; ++at) {
      const double value = values[at];
      if (!std::isfinite(value)) continue;
      low = finite == 0 ? value : std::min(low, value);
      high = finite == 0 ? value : std::max(high, value);
      sum += value;
      ++finite;
    }
    result.mean.push_back(finite > 0 ? sum / static_cast<double>(finite) : kNone);
    result.low.push_back(low);
    result.high.push_back(high);
    const auto missing = static_cast<std::int64_t>(borders[i + 1] - borders[i]) - finite;
    if (missing > 0) result.missing.emplace_back(i, missing);
  }
  return result;
}

std::vector<double> bucket_centres(const std::vector<double>& axis,
                                   const std::vector<std::size_t>& borders) {
  std::vector<double> centres;
  for (std::size_t i = 0; i + 1 < borders.size(); ++i)
    centres.push_back(0.5 * (axis[borders[i]] + axis[borders[i + 1] - 1]));
  return centres;
}

}  // namespace titan::report
