// adamw_kernel.h: the schema's arguments as the kernel sees them; shared by CPU and CUDA.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "titan/base/philox.h"
#include "titan/kernels/adamw.h"
#include "titan/ops/dispatch.h"

namespace titan::ops::detail {

/// titan::adamw_ as a run; buffers and scalars have been checked.
inline kernels::AdamWRun adamw_run(const at::Tensor& weight, const OptionalTensor& remainder,
                                   const at::Tensor& grad, const at::Tensor& exp_avg,
                                   const at::Tensor& exp_avg_sq, const OptionalTensor& average,
                                   const OptionalTensor& copy, const at::Tensor& step,
                                   const at::Tensor& lr, const OptionalTensor& clip,
                                   const OptionalTensor& skip, const OptionalTensor& average_weight,
                                   double beta1, double beta2, double eps, double weight_decay,
                                   int64_t seed, int64_t stream, int64_t first_element) {
  const auto scalar = [](const OptionalTensor& tensor) {
    return tensor ? tensor->const_data_ptr<float>() : nullptr;
  };
  return {
      .count = weight.numel(),
      .weight = weight.mutable_data_ptr(),
      .weight_type = storage_of(weight),
      .remainder = remainder ? static_cast<std::uint16_t*>(remainder->mutable_data_ptr()) : nullptr,
      .grad = grad.const_data_ptr(),
      .grad_type = storage_of(grad),
      .exp_avg = exp_avg.mutable_data_ptr(),
      .exp_avg_sq = exp_avg_sq.mutable_data_ptr(),
      .state_type = storage_of(exp_avg),
      .average = average ? average->mutable_data_ptr<float>() : nullptr,
      .average_weight = scalar(average_weight),
      .copy = copy ? static_cast<std::uint16_t*>(copy->mutable_data_ptr()) : nullptr,
      .step = scalar(step),
      .lr = scalar(lr),
      .clip = scalar(clip),
      .skip = scalar(skip),
      .beta1 = beta1,
      .beta2 = beta2,
      .eps = eps,
      .weight_decay = weight_decay,
      .key = philox_key(static_cast<std::uint64_t>(seed), RandomPurpose::kRounding),
      .stream = static_cast<std::uint64_t>(stream),
      .first_element = first_element};
}

}  // namespace titan::ops::detail
