#include "titan/metrics/flops.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <unordered_map>

#include <ATen/ATen.h>
#include <ATen/record_function.h>

#include "titan/base/check.h"
#include "titan/ops/kept.h"

namespace titan::metrics {
namespace {

using Inputs = c10::ArrayRef<c10::IValue>;

CountedFlops product(const at::Tensor& a, const at::Tensor& b) {
  return {.model = 2 * a.numel() * b.size(-1)};
}
CountedFlops mm(Inputs in) { return product(in[0].toTensor(), in[1].toTensor()); }
CountedFlops addmm(Inputs in) { return product(in[1].toTensor(), in[2].toTensor()); }

// float8_product(a, a_inverse, b, b_inverse, ...): a b^T; the same FLOPs as in any other format.
CountedFlops float8_product(Inputs in) {
  return {.model = 2 * in[0].toTensor().numel() * in[2].toTensor().size(0)};
}

/// Each output position is one product with the weights of its group: [out, in / groups, k...].
int64_t convolution_flops(const at::Tensor& out, const at::Tensor& weight) {
  return 2 * out.numel() * weight.numel() / weight.size(0);
}
// convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups)
CountedFlops convolution(Inputs in) {
  const at::Tensor x = in[0].toTensor(), weight = in[1].toTensor();
  if (in[6].toBool()) return {.model = 2 * x.numel() * weight.numel() / weight.size(0)};
  const std::vector<int64_t> stride = in[3].toIntVector(), padding = in[4].toIntVector();
  const std::vector<int64_t> dilation = in[5].toIntVector();
  int64_t positions = x.size(0);
  for (int64_t i = 0; i + 2 < x.dim(); ++i) {
    const auto at = [&](const std::vector<int64_t>& v) { return v.size() == 1 ? v[0] : v[i]; };
    const int64_t reach = at(dilation) * (weight.size(i + 2) - 1) + 1;
    positions *= (x.size(i + 2) + 2 * at(padding) - reach) / at(stride) + 1;
  }
  return {.model = 2 * positions * weight.numel()};
}
// convolution_backward(grad_output, input, weight, bias_sizes, stride, padding, dilation,
// transposed, output_padding,
//                      groups, output_mask): one product for the input, one for the weight.
CountedFlops convolution_backward(Inputs in) {
  const at::Tensor grad = in[0].toTensor(), x = in[1].toTensor(), weight = in[2].toTensor();
  const c10::List<bool> wanted = in[10].toBoolList();
  const int64_t one = convolution_flops(in[7].toBool() ? x : grad, weight);
  return {.model =
              one * (static_cast<int64_t>(wanted.get(0)) + static_cast<int64_t>(wanted.get(1)))};
}

/// One product (scores, or values), by the dimensions of q and k that count tokens: -2 in ATen's
/// [B, H, N, D], 1 in ours, [B, N, H, D].
int64_t attention_product(const c10::IValue& q, const c10::IValue& k, int64_t token_dim) {
  return 2 * q.toTensor().numel() * k.toTensor().size(token_dim);
}
template <int64_t kTokenDim>
CountedFlops attention(Inputs in) {
  return {.model = 2 * attention_product(in[0], in[1], kTokenDim)};
}
/// Four products, and the scores once more: fused kernels do not keep them.
template <int64_t kTokenDim>
CountedFlops attention_backward(Inputs in) {
  const int64_t one = attention_product(in[1], in[2], kTokenDim);
  return {.model = 4 * one, .recompute = one};
}

/// One product for each pass through a layer: forward, the gradient of x, that of the weight.
int64_t linear_product(const c10::IValue& x, const c10::IValue& weight) {
  return 2 * x.toTensor().numel() * weight.toTensor().size(0);
}
CountedFlops linear(Inputs in) { return {.model = linear_product(in[0], in[1])}; }
CountedFlops linear_gelu_grad(Inputs in) {  // (grad, weight, before)
  return {.model = 2 * in[0].toTensor().numel() * in[1].toTensor().size(1)};
}
CountedFlops linear_backward(Inputs in) {  // (grad, x, weight, wanted)
  const c10::List<bool> wanted = in[3].toBoolList();
  const int64_t products =
      static_cast<int64_t>(wanted.get(0)) + static_cast<int64_t>(wanted.get(1));
  return {.model = products * linear_product(in[1], in[2])};
}

struct Formulas {
  std::mutex mutex;
  std::unordered_map<std::string, FlopFormula> by_name = {
      {"aten::mm", mm},
      {"aten::bmm", mm},
      {"aten::addmm", addmm},
      {"aten::baddbmm", addmm},
      {"aten::convolution", convolution},
      {"aten::convolution_backward", convolution_backward},
      {"aten::_scaled_dot_product_flash_attention_for_cpu", attention<-2>},
      {"aten::_scaled_dot_product_flash_attention", attention<-2>},
      {"aten::_scaled_dot_product_efficient_attention", attention<-2>},
      {"aten::_scaled_dot_product_cudnn_attention", attention<-2>},
      {"aten::_scaled_dot_product_flash_attention_for_cpu_backward", attention_backward<-2>},
      {"aten::_scaled_dot_product_flash_attention_backward", attention_backward<-2>},
      {"aten::_scaled_dot_product_efficient_attention_backward", attention_backward<-2>},
      {"aten::_scaled_dot_product_cudnn_attention_backward", attention_backward<-2>},
      {"titan::linear", linear},
      {"titan::linear_backward", linear_backward},
      {"titan::linear_gelu", linear},
      {"titan::linear_gelu_grad", linear_gelu_grad},
      {"titan::attention", attention<1>},
      {"titan::float8_product", float8_product},
      {"titan::attention_backward", attention_backward<1>},
  };
};
Formulas& formulas() {
  static Formulas formulas;
  return formulas;
}

struct Totals {
  std::atomic<int64_t> model{0};
  std::atomic<int64_t> recompute{0};
  std::atomic<bool> running{false};
};
Totals& totals() {
  static Totals totals;
  return totals;
}

/// Counted ops that are open on this thread: what they call themselves is part of them.
thread_local int64_t open_ops = 0;

struct Counted : at::ObserverContext {};

std::unique_ptr<at::ObserverContext> on_enter(const at::RecordFunction& function) {
  FlopFormula formula = nullptr;
  {
    const std::lock_guard<std::mutex> lock(formulas().mutex);
    const auto found = formulas().by_name.find(function.name());
    if (found == formulas().by_name.end()) return nullptr;
    formula = found->second;
  }
  if (open_ops++ == 0) {
    const CountedFlops flops = formula(function.inputs());
    (ops::recomputing() ? totals().recompute : totals().model) += flops.model;
    totals().recompute += flops.recompute;
  }
  return std::make_unique<Counted>();
}

void on_exit(const at::RecordFunction&, at::ObserverContext* context) {
  if (context != nullptr) --open_ops;
}

}  // namespace

void register_flop_formula(const std::string& op, FlopFormula formula) {
  const std::lock_guard<std::mutex> lock(formulas().mutex);
  formulas().by_name[op] = formula;
}

FlopCounter::FlopCounter() {
  TITAN_CHECK(!totals().running.exchange(true), "[flops] one counter at a time");
  totals().model = 0;
  totals().recompute = 0;
  handle_ = at::addGlobalCallback(at::RecordFunctionCallback(on_enter, on_exit)
                                      .needsInputs(true)
                                      .scopes({at::RecordScope::FUNCTION}));
}

FlopCounter::~FlopCounter() {
  at::removeCallback(handle_);
  totals().running = false;
}

CountedFlops FlopCounter::counted() const {
  return {totals().model.load(), totals().recompute.load()};
}

}  // namespace titan::metrics
