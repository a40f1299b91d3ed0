// Our CUDA kernels on a device against the reference in float64. What needs no device of them is
// tested in tests/kernels (arithmetic) and tests/parallel (registration).
#include "tests/support/catch.h"

#include <array>

#include "titan/ops/gelu.h"
#include "titan/ops/mse.h"
#include "titan/ops/residual.h"
#include "titan/ops/rope.h"
#include "titan/ops/stream_attention.h"
#include "titan/ops/swiglu.h"

#include "tests/ops/op_testing.h"

namespace titan {
namespace {

using testing::OpCall;
using testing::randn;
using testing::Tensors;
using Shape = std::vector<int64_t>;

constexpr at::ScalarType kDtypes[] = {at::kFloat, at::kBFloat16};

Tensors on_device(Tensors tensors) {
  for (at::Tensor& tensor : tensors) tensor = tensor.cuda();
  return tensors;
}

void require_close(const OpCall& op, const Tensors& inputs, const char* schema, double factor) {
  for (const at::ScalarType dtype : kDtypes) {
    CAPTURE(schema, inputs[0].sizes(), c10::toString(dtype));
    const Tensors there = on_device(inputs);
    REQUIRE(ops::use_fused(there[0].to(dtype), schema));
    REQUIRE(testing::worst_difference(op, there, dtype) < factor * testing::tolerance(dtype));
  }
}

at::Tensor turns(int64_t tokens, int64_t head_dim) {
  const at::Tensor angle = at::randn({tokens, head_dim / 2});
  return at::stack({angle.cos(), angle.sin()}, -1).cuda();
}

TEST_CASE("elementwise kernels of a GPU agree with float64", "[cuda]") {
  if (!testing::has_cuda()) TITAN_SKIP("no CUDA device, or libtitan_cuda.so is not loaded");
  at::manual_seed(1);
  const auto gelu = [](const Tensors& in) -> Tensors { return {ops::gelu(in[0])}; };
  const auto swiglu = [](const Tensors& in) -> Tensors { return {ops::swiglu(in[0], in[1])}; };
  for (const Shape& shape : {Shape{1}, {3, 17}, {2, 100, 3072}, {2, 100, 333}}) {
    require_close(gelu, {randn(shape) * 4}, "titan::gelu", 1);
    require_close(swiglu, {randn(shape) * 4, randn(shape)}, "titan::swiglu", 1);
  }
  const auto residual = [](const Tensors& in) -> Tensors {
    return {ops::gated_residual(in[0], in[1], in[2])};
  };
  for (const Shape& s : {Shape{3, 40, 33}, {2, 130, 3072}})
    require_close(residual, {randn(s), randn(s), randn({s[0], s[2]})}, "titan::gated_residual", 1);
  for (const Shape& s : {Shape{3, 9, 5, 12}, {2, 70, 24, 128}}) {
    const at::Tensor table = turns(s[1], s[3]);
    const auto rope = [&](const Tensors& in) -> Tensors { return {ops::rope(in[0], table)}; };
    require_close(rope, {randn(s)}, "titan::rope", 1);
  }
  for (const Shape& s : {Shape{2, 7}, {3, 16, 64, 64}}) {
    const at::Tensor target = randn(s).cuda();
    const auto mse = [&](const Tensors& in) -> Tensors {
      return {ops::mse(in[0],
                       target.to(in[0].scalar_type() == at::kDouble ? at::kDouble : at::kFloat))};
    };
    require_close(mse, {randn(s)}, "titan::mse", 1);
  }
}

TEST_CASE("the joint heads of a GPU agree with float64", "[cuda]") {
  if (!testing::has_cuda()) TITAN_SKIP("no CUDA device, or libtitan_cuda.so is not loaded");
  at::manual_seed(2);
  for (const auto& [batch, txt, img, heads, head_dim] :
       {std::array<int64_t, 5>{2, 5, 12, 3, 32}, {2, 130, 128, 4, 128}, {1, 9, 7, 2, 6}}) {
    const ops::StreamAttention options{
        .heads = heads, .eps = 1e-6, .rope = turns(txt + img, head_dim)};
    const auto joint = [&](const Tensors& in) -> Tensors {
      const ops::StreamOutputs out =
          ops::joint_attention({in[0], in[2], in[3]}, {in[1], in[4], in[5]}, options);
      return {out.txt, out.img};
    };
    Tensors in = {randn({batch, txt, 3 * heads * head_dim}),
                  randn({batch, img, 3 * heads * head_dim})};
    for (int i = 0; i < 4; ++i) in.push_back(randn({head_dim}) * 0.3 + 1);
    require_close(joint, in, "titan::joint_qkv", 5);  // norm, scores and softmax
    const ops::StreamAttention one{.heads = heads, .eps = 1e-6, .rope = turns(img, head_dim)};
    const auto parallel = [&](const Tensors& inputs) -> Tensors {
      return {ops::parallel_attention(inputs[0], inputs[1], inputs[2], one)};
    };
    require_close(parallel, {randn({batch, img, 3 * heads * head_dim + 64}), in[2], in[3]},
                  "titan::parallel_qkv", 5);
  }
}

TEST_CASE("our kernels of a GPU give the same bits again", "[cuda]") {
  if (!testing::has_cuda()) TITAN_SKIP("no CUDA device, or libtitan_cuda.so is not loaded");
  at::manual_seed(3);
  const Tensors inputs =
      on_device({randn({4, 257, 1024}), randn({4, 257, 1024}), randn({4, 1024})});
  const auto op = [](const Tensors& in) -> Tensors {
    return {ops::mse(ops::gated_residual(in[0], in[1], in[2]), at::ones_like(in[0]))};
  };
  const Tensors first = testing::run_op(op, inputs, at::kFloat);
  for (int repeat = 0; repeat < 3; ++repeat) {
    const Tensors again = testing::run_op(op, inputs, at::kFloat);
    for (std::size_t i = 0; i < first.size(); ++i) REQUIRE(at::equal(first[i], again[i]));
  }
}

}  // namespace
}  // namespace titan
