#include "titan/ops/philox.h"

#include <algorithm>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/library.h>

#include "titan/base/check.h"
#include "titan/kernels/philox.h"
#include "titan/ops/device_kernels.h"

namespace titan::ops {
namespace {

// One task: enough elements that starting it costs nothing (about 0.1 ms).
constexpr int64_t kGrain = 32768;

at::Tensor philox_cpu(kernels::RandomField field, const at::Tensor& sample, const at::Tensor& epoch,
                      at::IntArrayRef tail_shape, int64_t seed, int64_t purpose) {
  const int64_t num_samples = sample.numel();
  std::vector<int64_t> shape{num_samples};
  shape.insert(shape.end(), tail_shape.begin(), tail_shape.end());
  const at::Tensor out = at::empty(shape, sample.options().dtype(at::kFloat));
  if (out.numel() == 0) return out;
  const int64_t elements = out.numel() / num_samples;
  const int64_t chunks = (elements + kGrain - 1) / kGrain;
  const std::uint64_t key =
      philox_key(static_cast<std::uint64_t>(seed), static_cast<std::uint32_t>(purpose));
  const int64_t* const samples = sample.const_data_ptr<int64_t>();
  const int64_t* const epochs = epoch.const_data_ptr<int64_t>();
  auto* const data = out.mutable_data_ptr<float>();
  const int64_t grain_chunks = std::max<int64_t>(1, kGrain / std::min(elements, kGrain));
  at::parallel_for(0, num_samples * chunks, grain_chunks, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = i / chunks;
      const int64_t first = (i % chunks) * kGrain;
      const int64_t count = std::min(kGrain, elements - first);
      kernels::philox_fill_cpu(field, key, samples[row], epochs[row], first, count,
                               data + row * elements + first);
    }
  });
  return out;
}

at::Tensor philox_normal_cpu(const at::Tensor& sample, const at::Tensor& epoch,
                             at::IntArrayRef tail_shape, int64_t seed, int64_t purpose) {
  return philox_cpu(kernels::RandomField::kNormal, sample, epoch, tail_shape, seed, purpose);
}
at::Tensor philox_uniform_cpu(const at::Tensor& sample, const at::Tensor& epoch,
                              at::IntArrayRef tail_shape, int64_t seed, int64_t purpose) {
  return philox_cpu(kernels::RandomField::kUniform, sample, epoch, tail_shape, seed, purpose);
}

using Signature = at::Tensor(const at::Tensor&, const at::Tensor&, at::IntArrayRef, int64_t,
                             int64_t);

at::Tensor call(const c10::TypedOperatorHandle<Signature>& op, const at::Tensor& sample,
                const at::Tensor& epoch, at::IntArrayRef tail_shape, std::uint64_t seed,
                RandomPurpose purpose) {
  for (const at::Tensor* ids : {&sample, &epoch}) {
    TITAN_CHECK(ids->defined() && ids->dim() == 1 && ids->scalar_type() == at::kLong,
                "[philox] sample and epoch are [B] int64");
  }
  TITAN_CHECK(sample.numel() == epoch.numel() && sample.device() == epoch.device(),
              "[philox] sample and epoch match in size and device (sample ", sample.numel(), " on ",
              sample.device(), ", epoch ", epoch.numel(), " on ", epoch.device(), ")");
  int64_t elements = 1;
  for (const int64_t size : tail_shape) elements *= size;
  TITAN_CHECK(elements >= 0 && elements <= (int64_t{1} << 34),
              "[philox] a sample has at most 2^34 elements, the range of the block counter (",
              elements, ")");
  const auto draw = [&](const at::Tensor& samples, const at::Tensor& epochs) {
    return op.call(samples.contiguous(), epochs.contiguous(), tail_shape,
                   static_cast<int64_t>(seed), static_cast<int64_t>(purpose));
  };
  // Other draws would be another run: a GPU too old for the kernel is given the CPU's.
  if (sample.is_cuda() && !device_kernels())
    return draw(sample.cpu(), epoch.cpu()).to(sample.device());  // host sync
  return draw(sample, epoch);
}

}  // namespace

at::Tensor philox_normal(const at::Tensor& sample, const at::Tensor& epoch,
                         at::IntArrayRef tail_shape, std::uint64_t seed, RandomPurpose purpose) {
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("titan::philox_normal", "").typed<Signature>();
  return call(op, sample, epoch, tail_shape, seed, purpose);
}

at::Tensor philox_uniform(const at::Tensor& sample, const at::Tensor& epoch,
                          at::IntArrayRef tail_shape, std::uint64_t seed, RandomPurpose purpose) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("titan::philox_uniform", "")
                             .typed<Signature>();
  return call(op, sample, epoch, tail_shape, seed, purpose);
}

TORCH_LIBRARY_FRAGMENT(titan, m) {
  m.def(
      "philox_normal(Tensor sample, Tensor epoch, int[] tail_shape, int seed, int purpose) -> "
      "Tensor");
  m.def(
      "philox_uniform(Tensor sample, Tensor epoch, int[] tail_shape, int seed, int purpose) -> "
      "Tensor");
}
TORCH_LIBRARY_IMPL(titan, CPU, m) {
  m.impl("philox_normal", &philox_normal_cpu);
  m.impl("philox_uniform", &philox_uniform_cpu);
}
TORCH_LIBRARY_IMPL(titan, Autograd, m) {
  m.impl("philox_normal", torch::autograd::autogradNotImplementedFallback());
  m.impl("philox_uniform", torch::autograd::autogradNotImplementedFallback());
}

}  // namespace titan::ops
