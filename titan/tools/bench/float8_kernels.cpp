// Rounding to 8 bits: of what an operator has written, and on the way to it.
#include "titan/tools/bench/kernels.h"

#include <ATen/ATen.h>

#include <utility>

#include "titan/base/check.h"
#include "titan/ops/backend.h"
#include "titan/ops/float8_fused.h"
#include "titan/ops/gelu.h"
#include "titan/ops/modulate_norm.h"
#include "titan/ops/swiglu.h"

namespace titan::tools {
namespace {

using Rounded = std::function<ops::Float8Input(const ops::Float8Rounding&)>;

/// An operator of `inputs` and rounding, one after the other and as one.
struct RoundedOperator {
  std::string name;
  std::vector<at::Tensor> inputs;
  Rounded apart, fused;
};

double stored_bytes(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<double>(tensor.nbytes()) : 0.0;
}

/// A line for each of `works`, which do the same, against the first in plain ATen.
void add_lines(c10::Device device, const std::vector<std::pair<std::string, Rounded>>& works,
               const std::vector<at::Tensor>& inputs, const ops::Float8Rounding& rounding,
               std::vector<KernelResult>& results) {
  const auto timed = [&](const Rounded& work, ops::Backend backend) {
    return [&work, &rounding, backend] {
      ops::set_backend(backend);
      (void)work(rounding);
    };
  };
  std::vector<std::function<void()>> calls;
  for (const auto& [name, work] : works) calls.push_back(timed(work, ops::Backend::kFused));
  calls.push_back(timed(works.front().second, ops::Backend::kReference));
  const std::vector<double> seconds = seconds_per_call(device, calls);
  ops::set_backend(ops::Backend::kFused);
  const ops::Float8Copies copies = works.front().second(rounding).copies;
  double bytes = stored_bytes(copies.by_row) + stored_bytes(copies.by_column);
  for (const at::Tensor& input : inputs) bytes += stored_bytes(input);
  for (std::size_t i = 0; i < works.size(); ++i) {
    results.push_back({str_cat(works[i].first, rounding.rowwise ? ", a scale a row" : ""),
                       seconds[i], seconds.back(), bytes, 0});
  }
}

}  // namespace

std::vector<KernelResult> bench_float8(c10::Device device, c10::ScalarType dtype,
                                       const KernelShape& shape) {
  const at::AutoGradMode record(true);  // without it no transposed copies are made
  const auto options = at::TensorOptions().device(device).dtype(dtype);
  const auto make = [&](at::IntArrayRef sizes) { return at::randn(sizes, options); };
  const at::Tensor x = make({shape.batch, shape.tokens, shape.width()});
  const at::Tensor scale = make({shape.batch, shape.width()}), shift = at::randn_like(scale);
  const at::Tensor a = make({shape.batch, shape.tokens, shape.mlp * shape.width()});
  const at::Tensor b = at::randn_like(a);
  const ops::Norm norm{.rms = false, .eps = 1e-6};
  using Rounding = ops::Float8Rounding;
  const std::vector<RoundedOperator> operators = {
      {"norm, modulate",
       {x, scale, shift},
       [&](const Rounding& how) {
         return ops::float8_input(ops::modulate_norm(x, norm, {.scale = scale, .shift = shift}),
                                  how);
       },
       [&](const Rounding& how) {
         return ops::float8_modulate_norm(x, norm, {.scale = scale, .shift = shift}, how);
       }},
      {"gelu",
       {a},
       [&](const Rounding& how) { return ops::float8_input(ops::gelu(a), how); },
       [&](const Rounding& how) { return ops::float8_gelu(a, how); }},
      {"swiglu",
       {a, b},
       [&](const Rounding& how) { return ops::float8_input(ops::swiglu(a, b), how); },
       [&](const Rounding& how) { return ops::float8_swiglu(a, b, how); }},
  };
  const Rounded plain = [&](const Rounding& how) { return ops::float8_input(a, how); };
  std::vector<KernelResult> results;
  for (const bool rowwise : {false, true}) {
    const Rounding rounding{.rowwise = rowwise, .by_column = true};
    add_lines(device, {{"to 8 bits", plain}}, {a}, rounding, results);
    for (const RoundedOperator& one : operators) {
      std::vector<std::pair<std::string, Rounded>> works = {
          {str_cat(one.name, ", then to 8 bits"), one.apart}};
      // On the CPU that is what happens.
      if (!device.is_cpu())
        works.emplace_back(str_cat(one.name, ", to 8 bits on the way"), one.fused);
      add_lines(device, works, one.inputs, rounding, results);
    }
  }
  return results;
}

}  // namespace titan::tools
