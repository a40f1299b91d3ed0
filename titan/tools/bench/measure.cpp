#include "titan/tools/bench/measure.h"

#include <algorithm>
#include <chrono>
#include <memory>

#include <ATen/ATen.h>

#include "titan/base/check.h"
#include "titan/base/status.h"
#include "titan/parallel/device_services.h"

namespace titan::tools {
namespace {

double seconds_on_host(const std::function<void()>& work, int repeats) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < repeats; ++i) work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double seconds_on_device(const std::function<void()>& work, int repeats) {
  parallel::DeviceServices* services = parallel::device_services();
  TITAN_CHECK(services != nullptr, "[bench] the device has no library that keeps its time");
  const std::unique_ptr<parallel::DeviceEvent> start = services->make_event(),
                                               end = services->make_event();
  start->record();
  for (int i = 0; i < repeats; ++i) work();
  end->record();
  return end->seconds_since(*start);
}

}  // namespace

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::vector<double> seconds_per_call(c10::Device device,
                                     const std::vector<std::function<void()>>& works,
                                     const MeasureOptions& options) {
  const auto time = [&](const std::function<void()>& work, int repeats) {
    return device.is_cpu() ? seconds_on_host(work, repeats) : seconds_on_device(work, repeats);
  };
  std::vector<int> repeats;
  for (const std::function<void()>& work : works) {
    work();  // first touches of memory, first plans of the libraries
    const double once = time(work, 1);
    constexpr double kMost = 10'000;
    repeats.push_back(
        static_cast<int>(std::clamp(options.round_seconds / std::max(once, 1e-7), 1.0, kMost)));
  }
  std::vector<std::vector<double>> rounds(works.size());
  for (int round = 0; round < options.rounds; ++round) {
    for (std::size_t i = 0; i < works.size(); ++i)
      rounds[i].push_back(time(works[i], repeats[i]) / repeats[i]);
  }
  std::vector<double> medians;
  for (std::vector<double>& one : rounds) medians.push_back(median(std::move(one)));
  return medians;
}

double seconds_per_call(c10::Device device, const std::function<void()>& work,
                        const MeasureOptions& options) {
  return seconds_per_call(device, std::vector<std::function<void()>>{work}, options).front();
}

Ceilings measure_ceilings(c10::Device device, c10::ScalarType dtype) {
  const bool cpu = device.is_cpu();
  // Far beyond any cache.
  const int64_t bytes = cpu ? int64_t{256} << 20 : int64_t{4} << 30;
  const int64_t n = cpu ? 2048 : 8192;
  Ceilings ceilings;
  {
    const auto options = at::TensorOptions().device(device).dtype(at::kFloat);
    const at::Tensor from = at::randn({bytes / 4}, options), to = at::empty_like(from);
    ceilings.copy_bytes_per_s =
        2 * static_cast<double>(bytes) / seconds_per_call(device, [&] { to.copy_(from); });
    ceilings.copy_text = str_cat("copy of ", bytes >> 20, " MiB");
  }
  const auto options = at::TensorOptions().device(device).dtype(dtype);
  const at::Tensor a = at::randn({n, n}, options), b = at::randn({n, n}, options);
  at::Tensor c = at::empty({n, n}, options);
  const double side = static_cast<double>(n);
  ceilings.gemm_flop_per_s =
      2 * side * side * side / seconds_per_call(device, [&] { at::mm_out(c, a, b); });
  ceilings.gemm_text = str_cat(n, " x ", n, " x ", n, " product, ", c10::toString(dtype));
  return ceilings;
}

}  // namespace titan::tools
