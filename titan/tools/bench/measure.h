// measure.h: how long a piece of work takes on a device.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <c10/core/Device.h>

namespace titan::tools {

struct MeasureOptions {
  int rounds = 9;               ///< the median of them is the result
  double round_seconds = 0.05;  ///< a round repeats short work until it takes about so long
};

/// Seconds that one call of each of `works` takes: rounds alternate between them, so that what else
/// the machine does hits all alike. On a GPU times are those of device events.
std::vector<double> seconds_per_call(c10::Device device,
                                     const std::vector<std::function<void()>>& works,
                                     const MeasureOptions& options = {});
double seconds_per_call(c10::Device device, const std::function<void()>& work,
                        const MeasureOptions& options = {});

/// Not of nothing.
double median(std::vector<double> values);

/// What the machine reaches at best; the other figures are shares of it.
struct Ceilings {
  double copy_bytes_per_s = 0;       ///< of a large copy, bytes read and written
  double gemm_flop_per_s = 0;        ///< of a large matrix product of random numbers
  std::string copy_text, gemm_text;  ///< what was measured
};
/// `dtype` of the product: float32 or bfloat16.
Ceilings measure_ceilings(c10::Device device, c10::ScalarType dtype);

}  // namespace titan::tools
