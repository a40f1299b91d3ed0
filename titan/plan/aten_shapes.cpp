#include "titan/plan/aten_shapes.h"

#include <string>
#include <utility>
#include <vector>

#include <ATen/ExpandUtils.h>
#include <ATen/WrapDimUtils.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/native/TypeProperties.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

namespace titan::plan {
namespace {

at::Tensor where(const at::Tensor& condition, const at::Tensor& self, const at::Tensor& other) {
  const auto sizes = at::infer_size(at::infer_size(condition.sizes(), self.sizes()), other.sizes());
  return at::empty(sizes,
                   self.options().dtype(at::native::result_type(self, other)).device(at::kMeta));
}

at::Tensor embedding_dense_backward(const at::Tensor& grad, const at::Tensor& /*indices*/,
                                    c10::SymInt num_weights, c10::SymInt /*padding_idx*/,
                                    bool /*scale_grad_by_freq*/) {
  return at::empty({num_weights.expect_int(), grad.size(-1)}, grad.options());
}

at::Tensor index_select(const at::Tensor& self, int64_t dim, const at::Tensor& index) {
  std::vector<int64_t> sizes = self.sizes().vec();
  sizes[static_cast<std::size_t>(at::maybe_wrap_dim(dim, self.dim()))] = index.numel();
  return at::empty(sizes, self.options());
}

at::Tensor mse_loss_backward(const at::Tensor& /*grad*/, const at::Tensor& self,
                             const at::Tensor& /*target*/, int64_t /*reduction*/) {
  return at::empty_like(self);
}

at::Tensor abs(const at::Tensor& self) { return at::empty_like(self); }

template <class Function>
void add(torch::Library& library, const char* name, const char* overload, Function&& function) {
  const auto op = c10::Dispatcher::singleton().findSchema({std::string("aten::") + name, overload});
  if (!op.has_value() || op->hasKernelForDispatchKey(c10::DispatchKey::Meta)) return;
  const std::string full = *overload == '\0' ? name : std::string(name) + "." + overload;
  library.impl(full.c_str(), std::forward<Function>(function));
}

}  // namespace

void complete_aten_shapes() {
  // Never destroyed: tensors of a walk may outlive every static.
  [[maybe_unused]] static torch::Library* const library = [] {
    auto* const made = new torch::Library(torch::Library::IMPL, "aten", c10::DispatchKey::Meta,
                                          __FILE__, __LINE__);
    add(*made, "abs", "", TORCH_FN(abs));
    add(*made, "where", "self", TORCH_FN(where));
    add(*made, "embedding_dense_backward", "", TORCH_FN(embedding_dense_backward));
    add(*made, "index_select", "", TORCH_FN(index_select));
    add(*made, "mse_loss_backward", "", TORCH_FN(mse_loss_backward));
    return made;
  }();
}

}  // namespace titan::plan
