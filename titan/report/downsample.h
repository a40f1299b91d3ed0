// downsample.h: many records in few buckets, so that no spike is lost.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace titan::report {

/// Borders of buckets over records 0..n: bucket i holds [border[i], border[i + 1]). At most
/// `max_buckets` (>= 3) of nearly equal size; the first and the last record have one of their own,
/// so that a curve begins and ends where the run does. No records: no buckets.
std::vector<std::size_t> bucket_borders(std::size_t records, std::size_t max_buckets);

/// One value a bucket; NaN where the bucket has no finite value.
struct BucketValues {
  std::vector<double> mean, low, high;
  /// Buckets with values that are not finite, and how many.
  std::vector<std::pair<std::size_t, std::int64_t>> missing;
};

/// Mean, smallest and largest finite value of each bucket.
BucketValues summarize(const std::vector<double>& values, const std::vector<std::size_t>& borders);

/// The mean of the first and the last value of each bucket: where it lies on an axis.
std::vector<double> bucket_centres(const std::vector<double>& axis,
                                   const std::vector<std::size_t>& borders);

}  // namespace titan::report
