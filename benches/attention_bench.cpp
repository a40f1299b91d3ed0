// Attention on the CPU beside LibTorch's fused operation and plain products with a softmax, and
// beside the rate of a matrix product: all in one process, in turns.
//
//   attention_bench [THREADS] [ROUNDS]
//
// Prints a Markdown table in GFLOP/s. FLOPs: forward 4 B H N M D; forward and backward 12 B H N M
// D, whatever a backward computes again. A round times every line once; a cell is the median over
// the rounds, and a ratio the median of the rounds' ratios, so that what else runs hits all alike.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <iomanip>
#include <iostream>
#include <string>
#include <vector>

#include <torch/types.h>
#include <torch/utils.h>

#include "titan/memory/cpu_allocator.h"
#include "titan/ops/attention.h"

namespace {

using Seconds = std::vector<double>;
using Attention =
    std::function<at::Tensor(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v)>;

struct Shape {
  int64_t batch, tokens, heads, head_dim;
};

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(Seconds values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double median_ratio(const Seconds& of, const Seconds& to) {
  Seconds ratios;
  for (std::size_t i = 0; i < of.size(); ++i) ratios.push_back(of[i] / to[i]);
  return median(ratios);
}

at::Tensor flash(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  return std::get<0>(at::_scaled_dot_product_flash_attention_for_cpu(
                         q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)))
      .transpose(1, 2);
}

at::Tensor products(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(3)));
  const at::Tensor scores = at::matmul(q.transpose(1, 2) * scale, k.permute({0, 2, 3, 1}));
  return at::matmul(scores.softmax(-1), v.transpose(1, 2)).transpose(1, 2);
}

struct Rival {
  Attention run;
  Seconds forward = {}, both = {};
};

/// A square product of about the work of one attention.
struct Ceiling {
  static constexpr int64_t kSide = 1024;
  at::Tensor a = at::randn({kSide, kSide}), b = at::randn({kSide, kSide});
  Seconds seconds = {};
  double gflops() const { return 2e-9 * kSide * kSide * kSide / median(seconds); }
};

void measure(const Shape& s, int rounds) {
  std::vector<at::Tensor> in;
  for (int i = 0; i < 3; ++i)
    in.push_back(at::randn({s.batch, s.tokens, s.heads, s.head_dim}).requires_grad_(true));
  const at::Tensor grad = at::randn_like(in[0].detach());
  std::vector<Rival> rivals = {{titan::ops::attention}, {flash}, {products}};
  Ceiling ceiling;
  for (int round = -1; round < rounds; ++round) {  // the first one warms up
    const double product = seconds_of([&] { at::mm(ceiling.a, ceiling.b); });
    if (round >= 0) ceiling.seconds.push_back(product);
    for (Rival& rival : rivals) {
      const double forward = seconds_of([&] {
        const at::NoGradGuard no_grad;
        rival.run(in[0], in[1], in[2]);
      });
      const double both =
          seconds_of([&] { torch::autograd::grad({rival.run(in[0], in[1], in[2])}, in, {grad}); });
      if (round < 0) continue;
      rival.forward.push_back(forward);
      rival.both.push_back(both);
    }
  }
  const double one =
      1e-9 * static_cast<double>(s.batch * s.heads * s.tokens * s.tokens * s.head_dim);
  std::cout << "| " << s.tokens << " | " << s.head_dim << " | " << s.batch << " x " << s.heads;
  for (const Rival& rival : rivals) std::cout << " | " << 4 * one / median(rival.forward);
  for (const Rival& rival : rivals) std::cout << " | " << 12 * one / median(rival.both);
  const double ours = 12 * one / median(rivals[0].both);
  std::cout << " | " << ceiling.gflops() << std::setprecision(2) << " | " << ours / ceiling.gflops()
            << " | " << median_ratio(rivals[1].both, rivals[0].both) << "x | "
            << median_ratio(rivals[2].both, rivals[0].both) << "x |" << std::setprecision(0)
            << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 2, rounds = argc > 2 ? std::atoi(argv[2]) : 9;
  if (threads < 1 || rounds < 1) {
    std::cerr << "usage: attention_bench [THREADS] [ROUNDS], both at least 1\n";
    return 2;
  }
  titan::memory::install_cpu_allocator();
  at::set_num_threads(threads);
  at::manual_seed(1);
  std::cout << "float32, " << threads << " threads, " << rounds << " rounds, GFLOP/s\n\n"
            << "| tokens | head | batch x heads | forward: titan | flash | products "
               "| both: titan | flash | products | mm | titan / mm | over flash | "
               "over products |\n"
               "|---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
            << std::fixed << std::setprecision(0);
  for (const Shape& shape : {Shape{16, 256, 6, 64}, Shape{8, 256, 6, 128}, Shape{4, 512, 8, 64},
                             Shape{4, 512, 4, 128}, Shape{2, 1024, 4, 64}, Shape{1, 1024, 4, 128}})
    measure(shape, rounds);
  return 0;
}
