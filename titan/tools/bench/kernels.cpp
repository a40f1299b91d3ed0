#include "titan/tools/bench/kernels.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <utility>

#include "titan/ops/attention.h"
#include "titan/ops/backend.h"
#include "titan/ops/gelu.h"
#include "titan/ops/linear.h"
#include "titan/ops/modulate_norm.h"
#include "titan/ops/residual.h"
#include "titan/ops/rope.h"
#include "titan/ops/swiglu.h"
#include "titan/optim/adamw.h"
#include "titan/optim/grad_norm.h"

namespace titan::tools {
namespace {

using Tensors = std::vector<at::Tensor>;

/// An operator with its inputs; every input has a gradient.
struct Case {
  std::string name;
  std::function<Tensors(const Tensors&)> work;
  Tensors inputs;
  double flops = 0;  ///< of the forward pass; a backward has twice as many
  /// Of a backward over the inputs: they are read, and their gradients written.
  double backward_passes = 2;
};

double bytes_of(const Tensors& tensors) {
  double bytes = 0;
  for (const at::Tensor& tensor : tensors) bytes += static_cast<double>(tensor.nbytes());
  return bytes;
}

/// A recorded graph, ready for any number of backward passes.
struct Graph {
  Tensors inputs, outputs, gradients;

  Graph(const Case& one, ops::Backend backend) : inputs(one.inputs) {
    ops::set_backend(backend);
    const at::AutoGradMode record(true);
    outputs = one.work(inputs);
    for (const at::Tensor& output : outputs) gradients.push_back(at::randn_like(output));
  }
  void backward() const {
    (void)torch::autograd::grad(outputs, inputs, gradients, /*retain_graph=*/true,
                                /*create_graph=*/false, /*allow_unused=*/true);
  }
};

/// Forward without a graph and backward, ours and the reference in turns.
void add_results(c10::Device device, const Case& one, std::vector<KernelResult>& results) {
  const auto forward = [&](ops::Backend backend) {
    return [&one, backend] {
      ops::set_backend(backend);
      const at::NoGradGuard no_grad;
      (void)one.work(one.inputs);
    };
  };
  const std::vector<double> forwards =
      seconds_per_call(device, {forward(ops::Backend::kFused), forward(ops::Backend::kReference)});
  const Graph ours(one, ops::Backend::kFused), plain(one, ops::Backend::kReference);
  const std::vector<double> backwards =
      seconds_per_call(device, {[&] { ours.backward(); }, [&] { plain.backward(); }});
  ops::set_backend(ops::Backend::kFused);
  const double in = bytes_of(one.inputs), out = bytes_of(ours.outputs);
  results.push_back({one.name, forwards[0], forwards[1], in + out, one.flops});
  results.push_back({one.name + " backward", backwards[0], backwards[1],
                     one.backward_passes * in + out, 2 * one.flops});
}

class Inputs {
 public:
  Inputs(c10::Device device, c10::ScalarType dtype)
      : options_(at::TensorOptions().device(device).dtype(dtype)) {}
  at::Tensor operator()(at::IntArrayRef sizes) const {
    return at::randn(sizes, options_).requires_grad_();
  }

 private:
  at::TensorOptions options_;
};

/// One large unit whose buffers hold random numbers.
KernelResult bench_adamw(c10::Device device, int64_t parameters) {
  const auto options = at::TensorOptions().device(device).dtype(at::kFloat);
  std::vector<parallel::FlatUnit> units(1);
  units[0].name = "bench";
  units[0].fragments = {{.name = "weight", .shape = {parameters}, .length = parameters}};
  units[0].master = at::randn({parameters}, options);
  units[0].grad = at::randn({parameters}, options);
  optim::AdamWOptions plain_options;
  plain_options.fused = false;
  optim::AdamW fused(units, {}), plain(units, plain_options);
  optim::StepState state{device};
  state.begin(1, 1e-4);
  const auto step = [&](optim::AdamW& adamw) {
    return [&] {
      const at::Tensor norm = optim::global_grad_norm(units);
      adamw.step(state, optim::clip_coefficient(norm, /*max_norm=*/1.0));
    };
  };
  const std::vector<double> seconds = seconds_per_call(device, {step(fused), step(plain)});
  // Weight, gradient and two moments are read, all but the gradient written; the norm reads it once
  // more (performance.md section 4).
  const double bytes = 4.0 * 8 * static_cast<double>(parameters);
  return {"norm, clip and AdamW", seconds[0], seconds[1], bytes, 0};
}

}  // namespace

std::vector<KernelResult> bench_elementwise(c10::Device device, c10::ScalarType dtype,
                                            const KernelShape& shape) {
  const Inputs make(device, dtype);
  const std::vector<int64_t> rows = {shape.batch, shape.tokens, shape.width()};
  const std::vector<int64_t> sample = {shape.batch, shape.width()};
  const std::vector<int64_t> wide = {shape.batch, shape.tokens, shape.mlp * shape.width()};
  const std::vector<int64_t> heads = {shape.batch, shape.tokens, shape.heads, shape.head_dim};
  const ops::Norm norm{.rms = false, .eps = 1e-6};
  const at::Tensor table =
      at::randn({shape.tokens, shape.head_dim / 2, 2}, at::TensorOptions().device(device));
  const std::vector<Case> cases = {
      {"norm, modulate",
       [norm](const Tensors& in) -> Tensors {
         return {ops::modulate_norm(in[0], norm, {.scale = in[1], .shift = in[2]})};
       },
       {make(rows), make(sample), make(sample)}},
      {"residual, norm, modulate",
       [norm](const Tensors& in) -> Tensors {
         auto [h, y] = ops::residual_modulate_norm(in[0], in[1], in[2], norm,
                                                   {.scale = in[3], .shift = in[4]});
         return {h, y};
       },
       {make(rows), make(rows), make(sample), make(sample), make(sample)}},
      {"gated residual",
       [](const Tensors& in) -> Tensors { return {ops::gated_residual(in[0], in[1], in[2])}; },
       {make(rows), make(rows), make(sample)},
       /*flops=*/0,
       /*backward_passes=*/1},  // x is not read, and its gradient is the result's
      {"rope",
       [table](const Tensors& in) -> Tensors { return {ops::rope(in[0], table)}; },
       {make(heads)},
       /*flops=*/0,
       /*backward_passes=*/1},  // turned back without x
      {"gelu", [](const Tensors& in) -> Tensors { return {ops::gelu(in[0])}; }, {make(wide)}},
      {"swiglu",
       [](const Tensors& in) -> Tensors { return {ops::swiglu(in[0], in[1])}; },
       {make(wide), make(wide)}},
  };
  std::vector<KernelResult> results;
  for (const Case& one : cases) add_results(device, one, results);
  constexpr int64_t kCpuParameters = int64_t{1} << 25, kDeviceParameters = int64_t{1} << 29;
  results.push_back(bench_adamw(device, device.is_cpu() ? kCpuParameters : kDeviceParameters));
  return results;
}

std::vector<KernelResult> bench_attention(c10::Device device, c10::ScalarType dtype,
                                          const KernelShape& shape) {
  const Inputs make(device, dtype);
  const std::vector<int64_t> heads = {shape.batch, shape.tokens, shape.heads, shape.head_dim};
  Case one{str_cat("attention, S=", shape.tokens, ", head ", shape.head_dim),
           [](const Tensors& in) -> Tensors { return {ops::attention(in[0], in[1], in[2])}; },
           {make(heads), make(heads), make(heads)}};
  one.flops = 4.0 * static_cast<double>(shape.batch * shape.heads * shape.head_dim) *
              static_cast<double>(shape.tokens * shape.tokens);
  std::vector<KernelResult> results;
  add_results(device, one, results);
  // Usual count: five products backward for two forward.
  results.back().flops = 2.5 * one.flops;
  return results;
}

std::vector<KernelResult> bench_products(c10::Device device, c10::ScalarType dtype,
                                         const KernelShape& shape) {
  const Inputs make(device, dtype);
  const int64_t rows = shape.batch * shape.tokens, width = shape.width();
  std::vector<KernelResult> results;
  for (const auto& [in, out] :
       {std::pair{width, 3 * width}, {width, shape.mlp * width}, {shape.mlp * width, width}}) {
    Case one{str_cat("linear ", rows, " x ", in, " -> ", out),
             [](const Tensors& t) -> Tensors { return {ops::linear(t[0], t[1], {})}; },
             {make({rows, in}), make({out, in})}};
    one.flops = 2.0 * static_cast<double>(rows) * static_cast<double>(in * out);
    add_results(device, one, results);
  }
  return results;
}

}  // namespace titan::tools
