// titan/ops/cuda/float8_fused.cpp, its functions called with tensors of the host and kernels on the
// emulated GPU (tests/kernels/cuda_emulation): what they tell the kernels, against the operation's
// own kernel followed by the rounding of an array, bit by bit.
#include "tests/support/catch.h"

#include <cmath>
#include <optional>
#include <tuple>

// Its functions have no names outside: on a GPU the dispatcher calls them.
#include "titan/ops/cuda/float8_fused.cpp"
#include "titan/ops/elementwise_kernel.h"

namespace titan::ops {
namespace {

constexpr OnStream<kernels::cuda::gelu_forward> kGeluKernel{};
constexpr OnStream<kernels::cuda::swiglu_forward> kSwigluKernel{};
constexpr OnStream<kernels::cuda::modulate_norm_forward> kNormKernel{};

struct Case {
  at::ScalarType dtype;
  bool rowwise, by_column;
  int64_t tokens, dim;

  at::Tensor draw(at::IntArrayRef sizes) const { return at::randn(sizes).to(dtype); }
  at::Tensor draw_tokens() const { return draw({2, tokens, dim}); }
};

template <class Check>
void for_all(const Check& check) {
  at::manual_seed(15);
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16})
    for (const bool rowwise : {false, true})
      for (const bool by_column : {false, true})
        for (const int64_t tokens : {1, 21, 64})
          for (const int64_t dim : {48, 130}) {
            CAPTURE(c10::toString(dtype), rowwise, by_column, tokens, dim);
            check(Case{dtype, rowwise, by_column, tokens, dim});
          }
}

/// The rounding of an array.
Float8Result apart(const at::Tensor& y_in, const Case& c) {
  const at::Tensor y = y_in.contiguous();
  const Float8Call call(y, detail::float8_shape(y),
                        {.rowwise = c.rowwise, .by_column = c.by_column});
  Float8Source source;
  source.x = y.const_data_ptr();
  source.x_stride = y.size(-1);
  return quantize(call, source);
}

void require_same(const at::Tensor& found, const at::Tensor& expected) {
  REQUIRE(found.defined() == expected.defined());
  if (!found.defined()) return;
  REQUIRE(found.to(at::kFloat).isfinite().all().item<bool>());
  REQUIRE(at::equal(found.to(at::kFloat), expected.to(at::kFloat)));
}
void require_same(const Float8Result& found, const Float8Result& expected) {
  require_same(std::get<0>(found), std::get<0>(expected));
  require_same(std::get<1>(found), std::get<1>(expected));
  require_same(std::get<2>(found), std::get<2>(expected));
  require_same(std::get<3>(found), std::get<3>(expected));
}

TEST_CASE("the CUDA operations round gelu and swiglu as their kernels and the rounding apart",
          "[ops]") {
  for_all([](const Case& c) {
    const at::Tensor a = c.draw_tokens() * 2, b = c.draw_tokens();
    require_same(gelu_cuda(a, c.rowwise, c.by_column),
                 apart(detail::run_gelu_forward(kGeluKernel, a), c));
    require_same(swiglu_cuda(a, b, c.rowwise, c.by_column),
                 apart(detail::run_swiglu_forward(kSwigluKernel, a, b), c));
  });
}

TEST_CASE("the CUDA operation rounds attention's output beside gelu of the last columns", "[ops]") {
  for_all([](const Case& c) {
    constexpr int64_t kWidth = 32;
    const at::Tensor y = c.draw({2, c.tokens, 3 * kWidth + c.dim});
    const at::Tensor attended = c.draw({2, c.tokens, 2 * kWidth}).narrow(2, 16, kWidth);
    const at::Tensor activated =
        detail::run_gelu_forward(kGeluKernel, y.narrow(2, 3 * kWidth, c.dim));
    require_same(beside_gelu_cuda(y, attended, c.rowwise, c.by_column),
                 apart(at::cat({attended, activated}, 2), c));
  });
}

TEST_CASE("the CUDA operation rounds the modulated norm as its kernel and the rounding apart",
          "[ops]") {
  for_all([](const Case& c) {
    for (const bool rms : {false, true}) {
      for (const bool residual : {false, true}) {
        for (const std::optional<at::ScalarType> parameters :
             {std::optional<at::ScalarType>(), std::optional(c.dtype), std::optional(at::kFloat)}) {
          CAPTURE(rms, residual, parameters.has_value());
          const at::Tensor x = c.draw_tokens() + 0.5;
          OptionalTensor branch, gate, weight, bias, scale, shift;
          if (residual) branch = c.draw_tokens();
          if (parameters) {
            // Parts of one map, as models have them.
            const at::Tensor rows = at::randn({2, 3, c.dim}).to(*parameters);
            if (residual) gate = rows.select(1, 0);
            scale = rows.select(1, 1);
            shift = rows.select(1, 2);
            weight = at::randn({c.dim}).to(*parameters);
            if (!rms) bias = at::randn({c.dim}).to(*parameters);
          }
          const Float8Normed found = normed_cuda(x, branch, gate, weight, bias, scale, shift, 1e-5,
                                                 rms, c.rowwise, c.by_column);
          const auto [h, y, mean, rstd] = detail::run_norm_forward(
              kNormKernel, x, branch, {weight, bias, scale, shift, gate}, 1e-5, rms);
          require_same(
              {std::get<3>(found), std::get<4>(found), std::get<5>(found), std::get<6>(found)},
              apart(y, c));
          require_same(std::get<0>(found), h);
          require_same(std::get<1>(found), mean);
          require_same(std::get<2>(found), rstd);
        }
      }
    }
  });
}

}  // namespace
}  // namespace titan::ops
