// adamw_bench: gradient norm, clipping and AdamW over one flat buffer, ours in each storage beside
// LibTorch's fused update and beside a plain copy, interleaved, medians.
//
//   adamw_bench [ELEMENTS in millions, 32] [ROUNDS, 7] [DEVICE, cpu | cuda]
//
// Bytes are those that the storage makes necessary: weights and moments read and written, gradients
// read; twice where a norm comes before. LibTorch is counted with the same bytes as our float32.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include <torch/cuda.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "titan/ops/adamw.h"
#include "titan/optim/grad_norm.h"
#include "titan/parallel/cuda_library.h"

namespace {

using titan::ops::AdamWBuffers;

struct Case {
  std::string name;
  double bytes;  ///< an element
  std::function<void()> run;
  std::vector<double> seconds = {};
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

class Bench {
 public:
  Bench(int64_t count, at::Device device)
      : count_(count), device_(device), step_(scalar(3)), lr_(scalar(1e-4)), zero_(scalar(0)) {}

  void add(std::string name, double bytes, std::function<void()> run) {
    cases_.push_back({std::move(name), bytes, std::move(run)});
  }

  /// Storage by name; `norm`: with the gradient norm before, as a step has it.
  void add_ours(const std::string& name, at::ScalarType weight, bool pair, at::ScalarType grad,
                at::ScalarType state, bool norm, bool average = false) {
    AdamWBuffers b{.weight = full(weight, 1.0),
                   .remainder = pair ? full(at::kShort, 0) : at::Tensor(),
                   .grad = full(grad, 1e-3),
                   .exp_avg = full(state, 1e-3),
                   .exp_avg_sq = full(state, 1e-6),
                   .average = average ? full(at::kFloat, 1.0) : at::Tensor(),
                   .copy = {}};
    const double gradient = static_cast<double>(c10::elementSize(grad));
    const double bytes = 2.0 * static_cast<double>(c10::elementSize(weight)) + (pair ? 4 : 0) +
                         gradient * (norm ? 2 : 1) +
                         4.0 * static_cast<double>(c10::elementSize(state)) + (average ? 8 : 0);
    add(name, bytes, [this, b, norm, average] {
      const at::Tensor clip =
          norm ? titan::optim::clip_coefficient(
                     titan::ops::sum_squares({b.grad}).sqrt_().to(at::kFloat), 1.0)
               : at::Tensor();
      titan::ops::adamw_(b, {step_, lr_, clip, zero_, average ? zero_ + 0.01 : at::Tensor()},
                         {.weight_decay = 0.1});
    });
  }

  void add_libtorch(const std::string& name, bool norm) {
    const at::Tensor p = full(at::kFloat, 1.0), g = full(at::kFloat, 1e-3),
                     m = full(at::kFloat, 1e-3), v = full(at::kFloat, 1e-6);
    add(name, norm ? 32 : 28, [=, this] {
      if (norm) {  // torch.nn.utils.clip_grad_norm_
        const at::Tensor total = at::linalg_vector_norm(g, 2);
        g.mul_(titan::optim::clip_coefficient(total, 1.0));
      }
      at::_fused_adamw_({p}, {g}, {m}, {v}, {}, {step_}, lr_, 0.9, 0.95, 0.1, 1e-8,
                        /*amsgrad=*/false, /*maximize=*/false);
    });
  }

  void add_copy() {
    const at::Tensor from = full(at::kFloat, 1.0), to = full(at::kFloat, 0.0);
    add("copy", 8, [=] { to.copy_(from); });
  }

  void run(int64_t rounds) {
    for (int64_t round = -1; round < rounds; ++round) {
      for (Case& one : cases_) {
        wait();
        const auto start = std::chrono::steady_clock::now();
        one.run();
        wait();
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
        if (round >= 0) one.seconds.push_back(took.count());
      }
    }
  }

  void print() const {
    const auto rate = [&](const Case& one) {
      return one.bytes * static_cast<double>(count_) / median(one.seconds) * 1e-9;
    };
    std::printf("%-44s %8s %9s %8s %8s\n", "", "B/elem", "ms", "GB/s", "of copy");
    for (const Case& one : cases_)
      std::printf("%-44s %8.0f %9.2f %8.2f %7.0f%%\n", one.name.c_str(), one.bytes,
                  1e3 * median(one.seconds), rate(one), 100 * rate(one) / rate(cases_.front()));
  }

 private:
  at::Tensor full(at::ScalarType dtype, double value) const {
    return at::full({count_}, value, at::TensorOptions().dtype(dtype).device(device_));
  }
  at::Tensor scalar(double value) const {
    return at::full({}, value, at::TensorOptions().dtype(at::kFloat).device(device_));
  }
  void wait() const {
    if (device_.is_cuda()) torch::cuda::synchronize();
  }

  int64_t count_;
  at::Device device_;
  at::Tensor step_, lr_, zero_;
  std::vector<Case> cases_;
};

}  // namespace

int main(int argc, char** argv) {
  titan::parallel::load_cuda_library();
  const int64_t count = (argc > 1 ? std::stoll(argv[1]) : 32) << 20;
  const int64_t rounds = argc > 2 ? std::stoll(argv[2]) : 7;
  const at::Device device(argc > 3 ? argv[3] : "cpu");
  const at::NoGradGuard no_grad;
  Bench bench(count, device);
  const auto f32 = at::kFloat, bf16 = at::kBFloat16;
  bench.add_copy();
  bench.add_libtorch("LibTorch fused AdamW", false);
  bench.add_ours("ours, float32", f32, false, f32, f32, false);
  bench.add_libtorch("LibTorch norm + clip + fused AdamW", true);
  bench.add_ours("ours, float32, norm + clip", f32, false, f32, f32, true);
  bench.add_ours("ours, float32 with average", f32, false, f32, f32, false, true);
  bench.add_ours("ours, bf16 moments", f32, false, f32, bf16, false);
  bench.add_ours("ours, remainder, float32 moments", bf16, true, f32, f32, false);
  bench.add_ours("ours, remainder, bf16 grad, moments", bf16, true, bf16, bf16, false);
  bench.add_ours("ours, remainder, bf16 grad, moments, norm", bf16, true, bf16, bf16, true);
  bench.add_ours("ours, stochastic, bf16 grad, moments", bf16, false, bf16, bf16, false);
  bench.run(rounds);
  std::printf("%lld elements, %lld rounds, %s, %d threads\n", static_cast<long long>(count),
              static_cast<long long>(rounds), device.str().c_str(), at::get_num_threads());
  bench.print();
  return 0;
}
