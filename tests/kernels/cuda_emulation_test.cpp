// The CUDA kernels, emulated, against their CPU twins.
#include "tests/support/catch.h"

#include <array>

#include "titan/kernels/elementwise.h"
#include "titan/kernels/mse.h"
#include "titan/kernels/stream_qkv.h"

#include "tests/kernels/kernel_testing.h"

namespace titan::kernels {
namespace {

using testing::Array;
using testing::difference;
using testing::kOffsets;
using testing::kStorages;
using testing::marked_array;
using testing::random_array;
using testing::tolerance;

constexpr StorageType kFloat = StorageType::kFloat32;

TEST_CASE("swiglu's CUDA kernels agree with the CPU's", "[kernels]") {
  for (const StorageType type : kStorages) {
    for (const int64_t offset : kOffsets) {
      for (const int64_t n : {1, 7, 64, 4096, 5000}) {
        CAPTURE(static_cast<int>(type), offset, n);
        Array a = random_array(type, n, offset), b = random_array(type, n, offset);
        Array grad = random_array(type, n, offset);
        Array out = marked_array(type, n), expected = marked_array(type, n);
        cpu::swiglu_forward(type, n, a.data(), b.data(), expected.data());
        cuda::swiglu_forward(type, n, a.data(), b.data(), out.data(), nullptr);
        REQUIRE(difference(out, expected) < tolerance(type));
        Array grad_b = marked_array(type, n), expected_b = marked_array(type, n);
        cpu::swiglu_backward(type, n, grad.data(), a.data(), b.data(), expected.data(),
                             expected_b.data());
        cuda::swiglu_backward(type, n, grad.data(), a.data(), b.data(), out.data(), grad_b.data(),
                              nullptr);
        REQUIRE(difference(out, expected) < tolerance(type));
        REQUIRE(difference(grad_b, expected_b) < tolerance(type));
      }
    }
  }
}

TEST_CASE("GELU's CUDA kernels agree with the CPU's, with and without gaps", "[kernels]") {
  // rows, columns, strides of x and of the output
  for (const auto& [rows, columns, x_stride, out_stride] : {std::array<int64_t, 4>{1, 5, 5, 5},
                                                            {3, 24, 24, 24},
                                                            {5, 64, 200, 120},
                                                            {3, 2504, 4000, 3000}}) {
    for (const StorageType type : kStorages) {
      for (const int64_t offset : kOffsets) {
        CAPTURE(static_cast<int>(type), offset, rows, columns);
        const GeluProblem problem{rows, columns, x_stride, out_stride, type};
        Array x = random_array(type, rows * x_stride, offset, 3.0F);
        Array grad = random_array(type, rows * out_stride, offset);
        Array out = marked_array(type, rows * out_stride);
        Array expected = marked_array(type, rows * out_stride);
        cpu::gelu_forward(problem, x.data(), expected.data());
        cuda::gelu_forward(problem, x.data(), out.data(), nullptr);
        REQUIRE(difference(out, expected) < tolerance(type));
        Array grad_x = marked_array(type, rows * x_stride);
        Array expected_grad = marked_array(type, rows * x_stride);
        cpu::gelu_backward(problem, grad.data(), x.data(), expected_grad.data());
        cuda::gelu_backward(problem, grad.data(), x.data(), grad_x.data(), nullptr);
        REQUIRE(difference(grad_x, expected_grad) < tolerance(type));
      }
    }
  }
}

TEST_CASE("the rotation's CUDA kernel agrees with the CPU's", "[kernels]") {
  for (const auto& [batch, tokens, heads, head_dim] :
       {std::array<int64_t, 4>{1, 3, 2, 6}, {2, 5, 3, 16}, {1, 3, 24, 128}, {2, 3, 52, 96}}) {
    for (const StorageType type : kStorages) {
      for (const bool inverse : {false, true}) {
        for (const int64_t offset : kOffsets) {
          CAPTURE(static_cast<int>(type), offset, head_dim, inverse);
          const RopeProblem problem{batch, tokens, heads, head_dim, inverse, type};
          const int64_t count = batch * tokens * heads * head_dim;
          Array x = random_array(type, count, offset),
                table = random_array(kFloat, tokens * head_dim);
          Array out = marked_array(type, count), expected = marked_array(type, count);
          cpu::rope(problem, x.data(), table.floats(), expected.data());
          cuda::rope(problem, x.data(), table.floats(), out.data(), nullptr);
          REQUIRE(difference(out, expected) < tolerance(type));
        }
      }
    }
  }
}

TEST_CASE("the gated residual's CUDA kernels agree with the CPU's", "[kernels]") {
  for (const auto& [batch, tokens, dim, stride] : {std::array<int64_t, 4>{1, 1, 1, 1},
                                                   {2, 37, 40, 48},
                                                   {3, 5, 100, 101},
                                                   {1, 300, 8, 8},
                                                   {1, 17, 2056, 2056}}) {
    for (const StorageType type : kStorages) {
      for (const int64_t offset : kOffsets) {
        CAPTURE(static_cast<int>(type), offset, tokens, dim);
        const ResidualProblem problem{batch, tokens, dim, stride, type};
        const int64_t count = batch * tokens * dim;
        Array x = random_array(type, count, offset), branch = random_array(type, count, offset);
        Array gate = random_array(type, batch * stride);
        Array out = marked_array(type, count), expected = marked_array(type, count);
        cpu::gated_residual_forward(problem, x.data(), branch.data(), gate.data(), expected.data());
        cuda::gated_residual_forward(problem, x.data(), branch.data(), gate.data(), out.data(),
                                     nullptr);
        REQUIRE(difference(out, expected) < tolerance(type));
        Array grad_gate = marked_array(kFloat, batch * dim);
        Array expected_gate = marked_array(kFloat, batch * dim);
        Array partial = marked_array(kFloat, cuda::gated_residual_partial_size(problem));
        cpu::gated_residual_backward(problem, x.data(), branch.data(), gate.data(), expected.data(),
                                     expected_gate.floats());
        cuda::gated_residual_backward(problem, x.data(), branch.data(), gate.data(), out.data(),
                                      grad_gate.floats(), partial.floats(), nullptr);
        REQUIRE(difference(out, expected) < tolerance(type));
        REQUIRE(difference(grad_gate, expected_gate) < tolerance(kFloat));
        REQUIRE(partial.margin_untouched());
      }
    }
  }
}

TEST_CASE("the squared error's CUDA kernels agree with the CPU's", "[kernels]") {
  for (const auto& [batch, elements] :
       {std::array<int64_t, 2>{1, 1}, {3, 17}, {2, 8192}, {2, 20000}, {40, 64}}) {
    for (const StorageType type : kStorages) {
      for (const int64_t offset : kOffsets) {
        CAPTURE(static_cast<int>(type), offset, batch, elements);
        const MseProblem problem{batch, elements, type};
        Array prediction = random_array(type, batch * elements, offset);
        Array target = random_array(kFloat, batch * elements), grad = random_array(kFloat, batch);
        Array out = marked_array(kFloat, batch), expected = marked_array(kFloat, batch);
        Array partial = marked_array(kFloat, mse_partial_size(problem));
        cpu::mse_forward(problem, prediction.data(), target.floats(), expected.floats(),
                         partial.floats());
        cuda::mse_forward(problem, prediction.data(), target.floats(), out.floats(),
                          partial.floats(), nullptr);
        REQUIRE(difference(out, expected) < tolerance(kFloat));
        Array down = marked_array(type, batch * elements);
        Array expected_down = marked_array(type, batch * elements);
        cpu::mse_backward(problem, grad.floats(), prediction.data(), target.floats(),
                          expected_down.data());
        cuda::mse_backward(problem, grad.floats(), prediction.data(), target.floats(), down.data(),
                           nullptr);
        REQUIRE(difference(down, expected_down) < tolerance(type));
      }
    }
  }
}

struct Results {
  Array q, k, v, q_rstd, k_rstd;
  Results(StorageType type, int64_t heads, int64_t count)
      : q(marked_array(type, count)),
        k(marked_array(type, count)),
        v(marked_array(type, count)),
        q_rstd(marked_array(kFloat, heads)),
        k_rstd(marked_array(kFloat, heads)) {}
  StreamQkvForward io(Array& in) {
    return {in.data(), q.data(), k.data(), v.data(), q_rstd.floats(), k_rstd.floats()};
  }
};

void check_stream(const StreamQkvProblem& p, int64_t offset) {
  const int64_t count = p.batch * p.joint_tokens * p.heads * p.head_dim;
  const int64_t inputs = p.batch * p.tokens * p.in_stride;
  const int64_t all_heads = p.batch * p.joint_tokens * p.heads;
  Array in = random_array(p.storage, inputs, offset);
  Array q_scale = random_array(kFloat, p.head_dim), k_scale = random_array(kFloat, p.head_dim);
  Array rope = random_array(kFloat, p.joint_tokens * p.head_dim);
  const StreamQkvParameters parameters{q_scale.floats(), k_scale.floats(), rope.floats()};
  Results actual(p.storage, all_heads, count), expected(p.storage, all_heads, count);
  cpu::stream_qkv_forward(p, parameters, expected.io(in));
  cuda::stream_qkv_forward(p, parameters, actual.io(in), nullptr);
  const double bound = tolerance(p.storage);
  REQUIRE(difference(actual.q, expected.q) < bound);
  REQUIRE(difference(actual.k, expected.k) < bound);
  REQUIRE(difference(actual.v, expected.v) == 0);
  REQUIRE(difference(actual.q_rstd, expected.q_rstd) < tolerance(kFloat));
  REQUIRE(difference(actual.k_rstd, expected.k_rstd) < tolerance(kFloat));

  Array grad_q = random_array(p.storage, count), grad_k = random_array(p.storage, count);
  Array grad_v = random_array(p.storage, count);
  Array partial =
      marked_array(kFloat, std::max(stream_qkv_partial_size(p), cuda::stream_qkv_partial_size(p)));
  struct Gradients {
    Array in, q, k;
  };
  const auto empty = [&] {
    return Gradients{marked_array(p.storage, inputs), marked_array(kFloat, p.head_dim),
                     marked_array(kFloat, p.head_dim)};
  };
  Gradients down = empty(), expected_down = empty();
  const auto io = [&](Gradients& g) {
    return StreamQkvBackward{grad_q.data(),
                             grad_k.data(),
                             grad_v.data(),
                             in.data(),
                             expected.q_rstd.floats(),
                             expected.k_rstd.floats(),
                             g.in.data(),
                             g.q.floats(),
                             g.k.floats(),
                             partial.floats()};
  };
  cpu::stream_qkv_backward(p, parameters, io(expected_down));
  cuda::stream_qkv_backward(p, parameters, io(down), nullptr);
  REQUIRE(difference(down.in, expected_down.in) < bound);
  REQUIRE(difference(down.q, expected_down.q) < 1e-5);  // sums over all rows and heads
  REQUIRE(difference(down.k, expected_down.k) < 1e-5);
  REQUIRE(partial.margin_untouched());
}

TEST_CASE("the joint heads' CUDA kernels agree with the CPU's", "[kernels]") {
  // batch, tokens, heads, head_dim, columns behind the projections, joint tokens, first token
  for (const auto& [batch, tokens, heads, head_dim, more, joint, first] :
       {std::array<int64_t, 7>{1, 3, 2, 8, 0, 3, 0},
        {2, 5, 3, 16, 24, 9, 4},
        {1, 19, 24, 128, 0, 30, 11},
        {2, 9, 5, 64, 64, 9, 0},
        {1, 9, 70, 32, 0, 9, 0},
        {1, 9, 2, 6, 5, 9, 0},
        {1, 4, 2, 48, 0, 4, 0},
        {2, 5, 3, 256, 0, 5, 0},
        {1, 3, 9, 250, 0, 3, 0}}) {
    for (const StorageType type : kStorages) {
      for (const int64_t offset : kOffsets) {
        CAPTURE(static_cast<int>(type), offset, batch, tokens, heads, head_dim);
        check_stream({.batch = batch,
                      .tokens = tokens,
                      .heads = heads,
                      .head_dim = head_dim,
                      .in_stride = 3 * heads * head_dim + more,
                      .joint_tokens = joint,
                      .first_token = first,
                      .storage = type},
                     offset);
      }
    }
  }
}

}  // namespace
}  // namespace titan::kernels
