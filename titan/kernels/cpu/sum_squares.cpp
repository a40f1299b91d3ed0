#include "titan/kernels/sum_squares.h"

#include <vector>

#include "titan/kernels/cpu/simd.h"

namespace titan::kernels::cpu {
namespace {

constexpr int64_t kElementsPerTask = 64 * 1024;
constexpr int64_t kLanes = 16;

struct SquaresArgs {
  const void* data;
  int64_t count;
  double* partials;
};

// Squares of float32 are exact in float64, so fusing the multiply and the add changes nothing.
template <class T>
TITAN_INLINE void squares_body(const SquaresArgs& args, int64_t task) {
  const int64_t begin = task * kElementsPerTask;
  const int64_t rest = args.count - begin;
  const int64_t count = rest < kElementsPerTask ? rest : kElementsPerTask;
  const T* data = static_cast<const T*>(args.data) + begin;
  alignas(64) double sums[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
#pragma omp simd
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      const double value = to_float(data[i + lane]);
      sums[lane] += value * value;
    }
  }
  double sum = 0;
  for (const double lane : sums) sum += lane;
  for (; i < count; ++i) {
    const double value = to_float(data[i]);
    sum += value * value;
  }
  args.partials[task] = sum;
}
TITAN_VERSIONS(squares, SquaresArgs)

}  // namespace
}  // namespace titan::kernels::cpu

namespace titan::kernels {

double sum_squares_cpu(StorageType storage, const void* data, std::int64_t count) {
  const int64_t tasks = (count + cpu::kElementsPerTask - 1) / cpu::kElementsPerTask;
  std::vector<double> partials(static_cast<std::size_t>(tasks));
  cpu::run_tasks(tasks, tasks > 1, cpu::squares_for(storage),
                 cpu::SquaresArgs{data, count, partials.data()});
  double sum = 0;
  for (const double partial : partials) sum += partial;
  return sum;
}

}  // namespace titan::kernels
