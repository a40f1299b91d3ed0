// The matrix products of the two step benches' linear layers, by three programs in turns:
// LibTorch's own call (MKL), oneDNN as LibTorch reaches it, and titan's (kernels/gemm.h). Writes
// Markdown rows: GFLOP/s of the medians.
//
//   gemm_bench THREADS ROUNDS
//
// With one thread the clock is the thread's own CPU time, which other programs disturb less.
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/InferenceMode.h>

#include "titan/kernels/gemm.h"
#include "titan/memory/cpu_allocator.h"

namespace {

using titan::kernels::cpu::gemm;

struct Layer {
  const char* name;
  int64_t rows, out, in;
  int64_t times;  ///< layers of this shape in the model
};
// DiT-S/2, batch 32, 256 tokens; Flux, d = 512, batch 4, 256 + 256 tokens.
constexpr Layer kLayers[] = {
    {"DiT q, k, v, out", 8192, 384, 384, 48}, {"DiT w1, w3", 8192, 1024, 384, 24},
    {"DiT w2", 8192, 384, 1024, 12},          {"Flux qkv", 1024, 1536, 512, 4},
    {"Flux proj", 1024, 512, 512, 4},         {"Flux MLP in", 1024, 2048, 512, 4},
    {"Flux MLP out", 1024, 512, 2048, 4},     {"Flux single in", 2048, 3584, 512, 4},
    {"Flux single out", 2048, 512, 2560, 4},  {"Flux text in", 1024, 512, 4096, 1},
    {"Flux modulation", 4, 3072, 512, 4},     {"DiT modulation", 32, 2304, 384, 12},
};

double seconds_now(int threads) {
  if (threads > 1) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

using Work = std::function<void()>;

/// Median seconds of each, in turns, after one round of warm-up.
std::vector<double> in_turns(const std::vector<Work>& works, int threads, int rounds) {
  std::vector<std::vector<double>> seconds(works.size());
  for (int round = 0; round <= rounds; ++round) {
    for (std::size_t i = 0; i < works.size(); ++i) {
      const double start = seconds_now(threads);
      works[i]();
      if (round > 0) seconds[i].push_back(seconds_now(threads) - start);
    }
  }
  std::vector<double> medians;
  for (const std::vector<double>& each : seconds) medians.push_back(median(each));
  return medians;
}

at::Tensor one_dnn(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  using Signature = at::Tensor(
      const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, c10::string_view,
      c10::List<std::optional<at::Scalar>>, std::optional<c10::string_view>);
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
                             .typed<Signature>();
  return op.call(x, weight, bias, "none", c10::List<std::optional<at::Scalar>>(), "");
}

struct Totals {
  double libtorch = 0, ours = 0, flops = 0;
};

void bench(const Layer& layer, int threads, int rounds, Totals& totals) {
  const auto [name, m, n, k, times] = layer;
  const at::Tensor x = at::randn({m, k}), weight = at::randn({n, k}), bias = at::randn({n});
  const at::Tensor grad = at::randn({m, n});
  at::Tensor y = at::empty({m, n}), grad_x = at::empty({m, k});
  at::Tensor grad_weight = at::empty({n, k}), grad_bias = at::empty({n});
  const float *px = x.const_data_ptr<float>(), *pw = weight.const_data_ptr<float>(),
              *pg = grad.const_data_ptr<float>();
  const std::vector<double> seconds =
      in_turns({[&] { at::addmm_out(y, bias, x, weight.t()); }, [&] { one_dnn(x, weight, bias); },
                [&] {
                  gemm({.rows = m,
                        .columns = n,
                        .depth = k,
                        .a = {px, k, 1},
                        .b = {pw, k, 1},
                        .c = y.mutable_data_ptr<float>(),
                        .c_step = n,
                        .bias = bias.const_data_ptr<float>()});
                },
                [&] { at::mm_out(grad_x, grad, weight); },
                [&] {
                  gemm({.rows = m,
                        .columns = k,
                        .depth = n,
                        .a = {pg, n, 1},
                        .b = {pw, 1, k},
                        .c = grad_x.mutable_data_ptr<float>(),
                        .c_step = k});
                },
                [&] {
                  at::mm_out(grad_weight, grad.t(), x);
                  at::sum_out(grad_bias, grad, 0);
                },
                [&] {
                  gemm({.rows = n,
                        .columns = k,
                        .depth = m,
                        .a = {pg, 1, n},
                        .b = {px, 1, k},
                        .c = grad_weight.mutable_data_ptr<float>(),
                        .c_step = k,
                        .a_row_sums = grad_bias.mutable_data_ptr<float>()});
                }},
               threads, rounds);
  const double flops = 2.0 * static_cast<double>(m * n * k);
  const auto rate = [&](int i) { return flops / seconds[static_cast<std::size_t>(i)] / 1e9; };
  const double libtorch = seconds[0] + seconds[3] + seconds[5];
  const double ours = seconds[2] + seconds[4] + seconds[6];
  std::printf("| %s | %ld x %ld x %ld | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f | %.2fx |\n",
              name, m, n, k, rate(0), rate(1), rate(2), rate(3), rate(4), rate(5), rate(6),
              libtorch / ours);
  std::fflush(stdout);
  totals.libtorch += libtorch * static_cast<double>(times);
  totals.ours += ours * static_cast<double>(times);
  totals.flops += 3 * flops * static_cast<double>(times);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: gemm_bench THREADS ROUNDS\n");
    return 2;
  }
  titan::memory::install_cpu_allocator();
  const int threads = std::atoi(argv[1]), rounds = std::atoi(argv[2]);
  at::set_num_threads(threads);
  const c10::InferenceMode no_graph;
  std::printf(
      "| layer | rows x out x in | forward: MKL | oneDNN | titan | grad of x: MKL | titan | grad "
      "of "
      "weight and bias: MKL + sum | titan | titan is faster by |\n"
      "|---|---|---|---|---|---|---|---|---|---|\n");
  Totals totals;
  for (const Layer& layer : kLayers) bench(layer, threads, rounds, totals);
  std::printf("\nAll layers of both models, %d threads: LibTorch %.0f GFLOP/s, titan %.0f: %.2fx\n",
              threads, totals.flops / totals.libtorch / 1e9, totals.flops / totals.ours / 1e9,
              totals.libtorch / totals.ours);
  return 0;
}
