#include "tests/support/catch.h"

#include <cstring>

#include "titan/base/check.h"
#include "titan/kernels/float8.h"
#include "titan/ops/float8_linear.h"
#include "titan/ops/float8_product.h"

#include "tests/ops/op_testing.h"

namespace titan {
namespace {

using kernels::Float8Format;
using kernels::cpu::SimdLevel;
using testing::Tensors;

constexpr SimdLevel kFloat8Levels[] = {SimdLevel::kBaseline, SimdLevel::kAvx2, SimdLevel::kAvx512};
constexpr at::ScalarType kFormats[] = {at::kFloat8_e4m3fn, at::kFloat8_e5m2};

Float8Format format_of(at::ScalarType dtype) {
  return dtype == at::kFloat8_e5m2 ? Float8Format::kE5m2 : Float8Format::kE4m3;
}
double most_of(at::ScalarType dtype) { return dtype == at::kFloat8_e5m2 ? 57344.0 : 448.0; }

at::Tensor bytes(const at::Tensor& numbers) { return numbers.contiguous().view(at::kByte); }

/// Every bfloat16, and floats of random bits: all exponents, subnormals, infinities, NaN.
at::Tensor many_floats() {
  const at::Tensor all = at::arange(65536, at::kInt).mul(65536).view(at::kFloat);
  const at::Tensor random =
      at::randint(-2147483648LL, 2147483647LL, {1 << 20}, at::kLong).to(at::kInt).view(at::kFloat);
  // Ties and their neighbours lie among numbers of few bits.
  const at::Tensor near = at::arange(-20000, 20000, at::kFloat).mul(1.0 / 64);
  return at::cat({all, random, near, at::nextafter(near, at::full_like(near, INFINITY)), near * 4,
                  near / 4096, near / 65536});
}

TEST_CASE("rounding to 8 bits gives LibTorch's bits on all bfloat16 and many floats", "[ops]") {
  at::manual_seed(1);
  const at::Tensor x = many_floats();
  for (const at::ScalarType dtype : kFormats) {
    // LibTorch's cast does not saturate.
    const at::Tensor expected = x.clamp(-most_of(dtype), most_of(dtype)).to(dtype);
    const at::Tensor is_nan = x.isnan();
    for (const SimdLevel level : kFloat8Levels) {
      const testing::SimdScope scope(level);
      const at::Tensor q = at::empty(x.sizes(), at::kByte);
      kernels::cpu::float8_encode(format_of(dtype), x.numel(), x.const_data_ptr<float>(),
                                  q.mutable_data_ptr<std::uint8_t>());
      CAPTURE(c10::toString(dtype), static_cast<int>(level));
      REQUIRE(at::equal(q.view(dtype).to(at::kFloat).isnan(), is_nan));
      REQUIRE(at::equal(q.masked_select(~is_nan), bytes(expected).masked_select(~is_nan)));
    }
  }
}

TEST_CASE("every 8-bit number is read as LibTorch reads it", "[ops]") {
  const at::Tensor numbers = at::arange(256, at::kInt).to(at::kByte);
  for (const at::ScalarType dtype : kFormats) {
    for (const SimdLevel level : kFloat8Levels) {
      const testing::SimdScope scope(level);
      const at::Tensor values = at::empty({256}, at::kFloat);
      kernels::cpu::float8_decode(format_of(dtype), 256, numbers.const_data_ptr<std::uint8_t>(),
                                  values.mutable_data_ptr<float>());
      const at::Tensor expected = numbers.view(dtype).to(at::kFloat), finite = ~expected.isnan();
      REQUIRE(at::equal(values.isnan(), expected.isnan()));
      REQUIRE(at::equal(values.masked_select(finite).view(at::kInt),
                        expected.masked_select(finite).view(at::kInt)));
    }
  }
}

void require_equal_copies(const ops::Float8Copies& a, const ops::Float8Copies& b) {
  REQUIRE(at::equal(bytes(a.by_row), bytes(b.by_row)));
  REQUIRE(at::equal(bytes(a.by_column), bytes(b.by_column)));
  REQUIRE(at::equal(a.row_inverse, b.row_inverse));
  REQUIRE(at::equal(a.column_inverse, b.column_inverse));
}

TEST_CASE("a matrix is rounded as plain ATen rounds it, bit by bit, whole or in parts", "[ops]") {
  at::manual_seed(2);
  for (const auto& [rows, columns] :
       {std::pair<int64_t, int64_t>{1, 1}, {3, 16}, {64, 64}, {65, 130}, {200, 96}}) {
    // Rows and columns of very different size.
    const at::Tensor x = at::randn({rows, columns}) * at::exp(3 * at::randn({rows, 1})) *
                         at::exp(3 * at::randn({columns}));
    for (const at::ScalarType storage : {at::kFloat, at::kBFloat16}) {
      for (const at::ScalarType dtype : kFormats) {
        for (const bool rowwise : {false, true}) {
          CAPTURE(rows, columns, c10::toString(storage), c10::toString(dtype), rowwise);
          const at::Tensor in = x.to(storage);
          const auto expected = ops::reference::float8_quantize(in, dtype, rowwise, {true, true});
          for (const SimdLevel level : kFloat8Levels) {
            const testing::SimdScope scope(level);
            const auto found = ops::float8_quantize(in, dtype, rowwise, {true, true});
            require_equal_copies(found, expected);
            REQUIRE(found.by_column.stride(0) % 16 == 0);
            const auto held = found.by_column.as_strided({columns, found.by_column.stride(0)},
                                                         {found.by_column.stride(0), 1});
            REQUIRE(bytes(held.narrow(1, rows, held.size(1) - rows))
                        .to(at::kInt)
                        .abs()
                        .sum()
                        .item<int>() == 0);
            const auto row = ops::float8_quantize(in, dtype, rowwise, {.by_row = true});
            const auto column = ops::float8_quantize(in, dtype, rowwise, {.by_column = true});
            REQUIRE_FALSE(row.by_column.defined());
            REQUIRE_FALSE(column.by_row.defined());
            require_equal_copies(
                {row.by_row, row.row_inverse, column.by_column, column.column_inverse}, expected);
          }
        }
      }
    }
  }
}

TEST_CASE("a tensor of zeros stays zero, NaN and infinity make every result of their scale NaN",
          "[ops]") {
  for (const bool rowwise : {false, true}) {
    const auto zeros =
        ops::float8_quantize(at::zeros({4, 32}), at::kFloat8_e4m3fn, rowwise, {true, true});
    REQUIRE(bytes(zeros.by_row).to(at::kInt).abs().max().item<int>() == 0);
    REQUIRE(zeros.row_inverse.isfinite().all().item<bool>());
    for (const float bad : {NAN, INFINITY}) {
      const at::Tensor x = at::ones({4, 32}), w = at::ones({16, 32});
      x[1][5] = bad;
      const at::Tensor y = ops::float8_linear(x, w, {}, {.rowwise = rowwise, .emulate = true});
      REQUIRE(y[1].isnan().all().item<bool>());
      // One scale a tensor takes all rows along; a scale a row spares the others.
      REQUIRE(y[0].isnan().all().item<bool>() == !rowwise);
    }
  }
}

/// What 8-bit copies stand for, in float64.
at::Tensor meant(const at::Tensor& q, const at::Tensor& inverse) {
  return q.to(at::kFloat).to(at::kDouble) * inverse.to(at::kDouble).unsqueeze(1);
}

struct Layer {
  at::Tensor x, weight, bias, grad;
};

/// y and the gradients of x, W, bias, in float64.
Tensors run_layer(const Layer& in, const ops::Float8Options& options,
                  ops::Float8Weights* weights = nullptr) {
  const at::Tensor x = in.x.detach().requires_grad_(), w = in.weight.detach().requires_grad_();
  const at::Tensor b = in.bias.defined() ? in.bias.detach().requires_grad_() : at::Tensor();
  const at::Tensor y = ops::float8_linear(x, w, b, options, weights);
  y.backward(in.grad);
  Tensors out = {y.detach(), x.grad(), w.grad()};
  if (b.defined()) out.push_back(b.grad());
  return out;
}

/// The same from the rounded operands in float64.
Tensors expected_layer(const Layer& in, const ops::Float8Options& options) {
  const auto round = [&](const at::Tensor& t, at::ScalarType dtype) {
    return ops::reference::float8_quantize(t.reshape({-1, t.size(-1)}), dtype, options.rowwise,
                                           {true, true});
  };
  const auto x = round(in.x, at::kFloat8_e4m3fn), w = round(in.weight, at::kFloat8_e4m3fn);
  const auto dy = round(in.grad, options.grad_dtype);
  at::Tensor y = meant(x.by_row, x.row_inverse).mm(meant(w.by_row, w.row_inverse).t());
  if (in.bias.defined()) y = y + in.bias.to(at::kDouble);
  Tensors out = {
      y.view(in.grad.sizes()),
      meant(dy.by_row, dy.row_inverse)
          .mm(meant(w.by_column, w.column_inverse).t())
          .view(in.x.sizes()),
      meant(dy.by_column, dy.column_inverse).mm(meant(x.by_column, x.column_inverse).t())};
  if (in.bias.defined())
    out.push_back(in.grad.to(at::kDouble).reshape({-1, in.grad.size(-1)}).sum(0));
  return out;
}

Layer random_layer(at::IntArrayRef lead, int64_t in, int64_t out, at::ScalarType dtype, bool bias) {
  std::vector<int64_t> x = lead.vec(), y = lead.vec();
  x.push_back(in);
  y.push_back(out);
  return {.x = at::randn(x).to(dtype),
          .weight = (at::randn({out, in}) / 8).to(dtype),
          .bias = bias ? at::randn({out}).to(dtype) : at::Tensor(),
          .grad = at::randn(y).to(dtype)};
}

std::vector<ops::Float8Options> all_options() {
  std::vector<ops::Float8Options> all;
  for (const bool rowwise : {false, true})
    for (const at::ScalarType grad : kFormats)
      all.push_back({.rowwise = rowwise, .grad_dtype = grad, .emulate = true});
  return all;
}

TEST_CASE("float8_linear and its gradients are those of the rounded operands", "[ops]") {
  at::manual_seed(3);
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const ops::Float8Options& options : all_options()) {
      for (const bool bias : {false, true}) {
        for (const std::vector<int64_t>& lead : {std::vector<int64_t>{5}, {2, 33}, {64}}) {
          CAPTURE(lead, bias, options.rowwise, c10::toString(options.grad_dtype),
                  c10::toString(dtype));
          const Layer layer = random_layer(lead, 48, 80, dtype, bias);
          const Tensors found = run_layer(layer, options),
                        expected = expected_layer(layer, options);
          REQUIRE(found.size() == expected.size());
          for (std::size_t i = 0; i < found.size(); ++i) {
            REQUIRE(found[i].scalar_type() == dtype);
            REQUIRE(testing::difference(found[i].to(at::kDouble), expected[i]) <
                    testing::tolerance(dtype));
          }
        }
      }
    }
  }
}

double relative_error(const at::Tensor& found, const at::Tensor& expected) {
  return ((found.to(at::kDouble) - expected).norm() / expected.norm()).item<double>();
}

TEST_CASE("float8_linear is near the layer it stands for", "[ops]") {
  at::manual_seed(4);
  const Layer layer = random_layer({256}, 128, 96, at::kFloat, true);
  const at::Tensor x = layer.x.to(at::kDouble), w = layer.weight.to(at::kDouble),
                   dy = layer.grad.to(at::kDouble);
  const Tensors exact = {at::linear(x, w, layer.bias.to(at::kDouble)), dy.mm(w), dy.t().mm(x),
                         dy.sum(0)};
  for (const ops::Float8Options& options : all_options()) {
    const Tensors found = run_layer(layer, options);
    // A number of 3 bits of mantissa is off by 2^-4 / sqrt(3) = 3.6 % at most in the mean square,
    // one of 2 bits by twice that; a product has two such factors.
    const double of_grad = options.grad_dtype == at::kFloat8_e5m2 ? 0.08 : 0.051;
    REQUIRE(relative_error(found[0], exact[0]) < 0.051);
    REQUIRE(relative_error(found[1], exact[1]) < of_grad);
    REQUIRE(relative_error(found[2], exact[2]) < of_grad);
    REQUIRE(relative_error(found[0], exact[0]) > 1e-3);  // it did round
    REQUIRE(relative_error(found[3], exact[3]) < 1e-6);
  }
}

TEST_CASE("a scale for each row keeps rows that one scale a tensor rounds to nothing", "[ops]") {
  at::manual_seed(5);
  const at::Tensor size = at::logspace(-8, 0, 9, 10.0, at::kFloat).unsqueeze(1);
  const at::Tensor x = at::randn({9, 256}) * size, w = at::randn({32, 256});
  const at::Tensor exact = x.to(at::kDouble).mm(w.to(at::kDouble).t());
  const at::Tensor whole = ops::float8_linear(x, w, {}, {.rowwise = false, .emulate = true});
  const at::Tensor rows = ops::float8_linear(x, w, {}, {.rowwise = true, .emulate = true});
  for (int64_t i = 0; i < 9; ++i) REQUIRE(relative_error(rows[i], exact[i]) < 0.06);
  REQUIRE(whole[0].abs().max().item<double>() == 0);
  REQUIRE(relative_error(whole[3], exact[3]) > 0.1);
  REQUIRE(relative_error(whole[8], exact[8]) < 0.06);
}

TEST_CASE("weights are rounded once until they change", "[ops]") {
  at::manual_seed(6);
  Layer layer = random_layer({16}, 32, 48, at::kFloat, true);
  const ops::Float8Options options{.emulate = true};
  ops::Float8Weights weights;
  const auto same = [&] {
    const Tensors kept = run_layer(layer, options, &weights), anew = run_layer(layer, options);
    for (std::size_t i = 0; i < kept.size(); ++i)
      if (!at::equal(kept[i], anew[i])) return false;
    return true;
  };
  REQUIRE(same());
  const ops::Float8Wanted both{true, true};
  const void* const first = weights.of(layer.weight, false, both).by_row.const_data_ptr();
  const void* const transposed = weights.of(layer.weight, false, both).by_column.const_data_ptr();
  REQUIRE(same());
  REQUIRE(weights.of(layer.weight, false, both).by_row.const_data_ptr() == first);
  REQUIRE(weights.of(layer.weight, false, both).by_column.const_data_ptr() == transposed);

  const at::Tensor before = weights.of(layer.weight, false, both).by_row.clone();
  layer.weight.mul_(-3).add_(0.01);
  REQUIRE(same());
  REQUIRE_FALSE(at::equal(bytes(weights.of(layer.weight, false, both).by_row), bytes(before)));
  // Another recipe has other copies.
  REQUIRE(weights.of(layer.weight, true, both).row_inverse.numel() == 48);
  // Evaluation asks for one copy only, training for the other later.
  weights.forget();
  REQUIRE_FALSE(weights.of(layer.weight, false, {.by_row = true}).by_column.defined());
  REQUIRE(same());
}

TEST_CASE("backward keeps 8-bit copies and lets the layer's input go", "[ops]") {
  const at::Tensor leaf = at::randn({64, 32}).requires_grad_();
  const at::Tensor w = at::randn({48, 32}).requires_grad_();
  at::Tensor x = leaf * 2;
  const c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl> input(
      x.getIntrusivePtr());
  const at::Tensor y = ops::float8_linear(x, w, {}, {.emulate = true});
  x.reset();
  REQUIRE(input.expired());
  y.sum().backward();
  REQUIRE(leaf.grad().isfinite().all().item<bool>());
  // Where a gradient is not wanted its operand is not kept, and none is made.
  const at::Tensor frozen = ops::float8_linear(leaf, w.detach(), {}, {.emulate = true});
  leaf.mutable_grad() = at::Tensor();
  frozen.sum().backward();
  REQUIRE(leaf.grad().defined());
}

TEST_CASE("gradients made from a layer's inputs are those of its own backward", "[ops]") {
  at::manual_seed(7);
  for (const ops::Float8Options& options : all_options()) {
    const Layer layer = random_layer({2, 21}, 32, 48, at::kBFloat16, true);
    const Tensors own = run_layer(layer, options);
    const ops::Float8Input x = ops::float8_input(layer.x, {.rowwise = options.rowwise});
    const ops::Float8Gradients made =
        ops::float8_linear_gradients(layer.grad, x.copies, layer.weight, options, true, true, true);
    REQUIRE(at::equal(made.x, own[1]));
    REQUIRE(at::equal(made.weight, own[2]));
    REQUIRE(at::equal(made.bias, own[3]));
  }
}

TEST_CASE("float8_linear says what it cannot do", "[ops]") {
  const at::Tensor x = at::randn({4, 32}), w = at::randn({16, 32});
  REQUIRE_THROWS_WITH(ops::float8_linear(x, w, {}, {}), Catch::Contains("float8.emulate=true"));
  REQUIRE_THROWS_WITH(ops::float8_linear(x, at::randn({16, 31}), {}, {.emulate = true}),
                      Catch::Contains("must fit"));
  REQUIRE_THROWS_WITH(ops::float8_linear(x.to(at::kBFloat16), w, {}, {.emulate = true}),
                      Catch::Contains("one dtype"));
  REQUIRE_THROWS_WITH(ops::float8_quantize(x, at::kHalf, false, {.by_row = true}),
                      Catch::Contains("the formats are"));
  REQUIRE(ops::float8_linear(at::empty({0, 32}), w, {}, {.emulate = true}).sizes() ==
          at::IntArrayRef({0, 16}));
}

TEST_CASE("float8_linear runs on shapes alone", "[ops]") {
  const auto meta = at::TensorOptions().device(at::kMeta).dtype(at::kBFloat16);
  for (const bool emulate : {false, true}) {
    const at::Tensor x = at::empty({2, 7, 32}, meta).requires_grad_();
    const at::Tensor w = at::empty({48, 32}, meta).requires_grad_();
    const at::Tensor b = at::empty({48}, meta).requires_grad_();
    const at::Tensor y = ops::float8_linear(x, w, b, {.rowwise = true, .emulate = emulate});
    REQUIRE(y.sizes() == at::IntArrayRef({2, 7, 48}));
    REQUIRE(y.scalar_type() == at::kBFloat16);
    y.backward(at::empty_like(y));
    REQUIRE(x.grad().sizes() == x.sizes());
    REQUIRE(w.grad().sizes() == w.sizes());
    REQUIRE(b.grad().sizes() == b.sizes());
  }
}

TEST_CASE("float8_linear on a GPU: the CPU's roundings, products near the emulated ones",
          "[cuda]") {
  if (!testing::has_cuda()) TITAN_SKIP("no CUDA device, or libtitan_cuda.so is not loaded");
  at::manual_seed(8);
  for (const at::ScalarType storage : {at::kFloat, at::kBFloat16}) {
    for (const at::ScalarType dtype : kFormats) {
      for (const bool rowwise : {false, true}) {
        for (const auto& [rows, columns] :
             {std::pair<int64_t, int64_t>{1, 3}, {65, 130}, {256, 512}, {1000, 48}}) {
          CAPTURE(rows, columns, rowwise, c10::toString(dtype), c10::toString(storage));
          const at::Tensor x =
              (at::randn({rows, columns}) * at::exp(at::randn({rows, 1}))).to(storage);
          const auto there = ops::float8_quantize(x.cuda(), dtype, rowwise, {true, true});
          const auto here = ops::float8_quantize(x, dtype, rowwise, {true, true});
          require_equal_copies({there.by_row.cpu(), there.row_inverse.cpu(), there.by_column.cpu(),
                                there.column_inverse.cpu()},
                               here);
        }
      }
    }
  }
  // 100 tokens: 16 does not divide them, so the gradient of W sums over zeros as well.
  for (const int64_t tokens : {100, 512}) {
    for (const bool bias : {false, true}) {
      for (ops::Float8Options options : all_options()) {
        CAPTURE(tokens, bias, options.rowwise, c10::toString(options.grad_dtype));
        const Layer layer = random_layer({tokens}, 256, 384, at::kBFloat16, bias);
        const Tensors expected = expected_layer(layer, options);
        Layer on_device{layer.x.cuda(), layer.weight.cuda(),
                        bias ? layer.bias.cuda() : at::Tensor(), layer.grad.cuda()};
        for (const bool emulate : {true, false}) {
          options.emulate = emulate;
          const Tensors found = run_layer(on_device, options);
          for (std::size_t i = 0; i < found.size(); ++i)
            REQUIRE(testing::difference(found[i].to(at::kDouble).cpu(), expected[i]) <
                    testing::tolerance(at::kBFloat16));
        }
      }
    }
  }
}

}  // namespace
}  // namespace titan
