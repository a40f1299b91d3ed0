// dispatch.h: what the ops' own sources share. An op is called through the dispatcher once (so
// observers see it once); its Autograd kernel then re-dispatches below autograd.
#pragma once

#include <initializer_list>
#include <optional>

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include "titan/base/check.h"
#include "titan/kernels/storage.h"

namespace titan::ops::detail {

using OptionalTensor = std::optional<at::Tensor>;

inline OptionalTensor optional(const at::Tensor& tensor) {
  return tensor.defined() ? OptionalTensor(tensor) : std::nullopt;
}
inline at::Tensor value(const OptionalTensor& tensor) {
  return tensor.has_value() ? *tensor : at::Tensor();
}

/// The typed handle of a schema. Keep it in a function-local static.
template <class Signature>
c10::TypedOperatorHandle<Signature> find_op(const char* schema) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(schema, "").typed<Signature>();
}

/// Keys of x, and of a mode that the caller has switched on, that remain below autograd: where an
/// Autograd kernel re-dispatches to.
inline c10::DispatchKeySet below_autograd(const at::Tensor& x) {
  const c10::impl::LocalDispatchKeySet local = c10::impl::tls_local_dispatch_key_set();
  const c10::DispatchKeySet modes = local.included_ - local.excluded_ - c10::default_included_set;
  return (x.key_set() | modes) & c10::after_ADInplaceOrView_keyset;
}

/// Whether a gradient must be recorded; Function::apply is skipped where not.
inline bool needs_gradient(std::initializer_list<at::Tensor> inputs) {
  if (!c10::GradMode::is_enabled()) return false;
  for (const at::Tensor& input : inputs) {
    if (input.defined() && input.requires_grad()) return true;
  }
  return false;
}

inline kernels::StorageType storage_of(const at::Tensor& tensor) {
  TITAN_CHECK(tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kBFloat16,
              "[ops] kernels take float32 or bfloat16 (dtype=", c10::toString(tensor.scalar_type()),
              ")");
  return tensor.scalar_type() == at::kFloat ? kernels::StorageType::kFloat32
                                            : kernels::StorageType::kBFloat16;
}

}  // namespace titan::ops::detail
