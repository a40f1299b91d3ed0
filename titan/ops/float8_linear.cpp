#include "titan/ops/float8_linear.h"

#include <utility>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "titan/base/check.h"
#include "titan/ops/dispatch.h"

namespace titan::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr at::ScalarType kForwardType = at::kFloat8_e4m3fn;

/// [..., out] of x [..., in].
at::Tensor output(const at::Tensor& x, const Float8Copies& in, const Float8Copies& weight,
                  const at::Tensor& bias, const Float8Options& options) {
  const at::Tensor rows =
      float8_product(in.by_row, in.row_inverse, weight.by_row, weight.row_inverse, bias,
                     {.out_dtype = x.scalar_type(), .emulate = options.emulate, .fast_sums = true});
  std::vector<int64_t> sizes = x.sizes().vec();
  sizes.back() = rows.size(1);
  // A view that autograd knows of could not be written in place where a graph is recorded.
  return at::_unsafe_view(rows, sizes);
}

/// What the two products of backward take besides dy: undefined where its product is not wanted.
struct Operands {
  at::Tensor x, x_inverse;            ///< [in, tokens]
  at::Tensor weight, weight_inverse;  ///< [in, out]
};

struct Wanted {
  bool x, weight, bias;
};

Float8Gradients gradients(const at::Tensor& grad_in, const Operands& held,
                          const Float8Options& options, Wanted wanted) {
  const at::Tensor grad = grad_in.reshape({-1, grad_in.size(-1)});
  const Float8Copies dy =
      wanted.x || wanted.weight
          ? float8_quantize(grad, options.grad_dtype, options.rowwise, {wanted.x, wanted.weight})
          : Float8Copies{};
  const Float8ProductOptions product{.out_dtype = grad.scalar_type(), .emulate = options.emulate};
  Float8Gradients result;
  if (wanted.x) {
    std::vector<int64_t> sizes = grad_in.sizes().vec();
    sizes.back() = held.weight.size(0);
    result.x =
        float8_product(dy.by_row, dy.row_inverse, held.weight, held.weight_inverse, {}, product)
            .view(sizes);
  }
  if (wanted.weight)
    result.weight =
        float8_product(dy.by_column, dy.column_inverse, held.x, held.x_inverse, {}, product);
  if (wanted.bias) result.bias = grad.sum(0);
  return result;
}

class Float8LinearFunction : public torch::autograd::Function<Float8LinearFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const detail::OptionalTensor& bias, const Float8Copies& in,
                            const Float8Options& options, Float8Weights* weights) {
    const bool for_x = weight.requires_grad(), for_weight = x.requires_grad();
    Float8Weights once;
    const Float8Copies& w =
        (weights != nullptr ? *weights : once)
            .of(weight, options.rowwise, {.by_row = true, .by_column = for_weight});
    ctx->save_for_backward(
        {for_x ? in.by_column : at::Tensor(), for_x ? in.column_inverse : at::Tensor(),
         for_weight ? w.by_column : at::Tensor(), for_weight ? w.column_inverse : at::Tensor()});
    ctx->saved_data["bias"] = bias.has_value();
    ctx->saved_data["rowwise"] = options.rowwise;
    ctx->saved_data["emulate"] = options.emulate;
    ctx->saved_data["grad_dtype"] = static_cast<int64_t>(options.grad_dtype);
    return output(x, in, w, detail::value(bias), options);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const Float8Options options{
        .rowwise = ctx->saved_data["rowwise"].toBool(),
        .grad_dtype = static_cast<at::ScalarType>(ctx->saved_data["grad_dtype"].toInt()),
        .emulate = ctx->saved_data["emulate"].toBool()};
    // Without a bias there is no such edge.
    const bool for_bias = ctx->saved_data["bias"].toBool() && ctx->needs_input_grad(2);
    const Float8Gradients result =
        gradients(grads[0], {saved[0], saved[1], saved[2], saved[3]}, options,
                  {ctx->needs_input_grad(0), ctx->needs_input_grad(1), for_bias});
    return {result.x, result.weight, result.bias, {}, {}, {}};
  }
};

/// Without gradients.
at::Tensor product_alone(const Float8Input& x, const at::Tensor& weight, const at::Tensor& bias,
                         const Float8Options& options, Float8Weights* weights) {
  Float8Weights once;
  const Float8Copies& w =
      (weights != nullptr ? *weights : once).of(weight, options.rowwise, {.by_row = true});
  return output(x.values, x.copies, w, bias, options);
}

void check_fit(const at::Tensor& x, const at::Tensor& weight) {
  TITAN_CHECK(x.dim() >= 1 && weight.dim() == 2 && x.size(-1) == weight.size(1) &&
                  x.scalar_type() == weight.scalar_type(),
              "[float8] x [..., in] and W [out, in] must fit and be of one dtype (x=", x.sizes(),
              " ", c10::toString(x.scalar_type()), ", W=", weight.sizes(), " ",
              c10::toString(weight.scalar_type()), ")");
}

}  // namespace

const Float8Copies& Float8Weights::of(const at::Tensor& weight, bool rowwise, Float8Wanted wanted) {
  const auto version = static_cast<std::int64_t>(weight._version());
  const at::Tensor& any = copies_.by_row.defined() ? copies_.by_row : copies_.by_column;
  if (version != version_ || rowwise != rowwise_ ||
      (any.defined() && any.device() != weight.device())) {
    forget();
  }
  const Float8Wanted missing{.by_row = wanted.by_row && !copies_.by_row.defined(),
                             .by_column = wanted.by_column && !copies_.by_column.defined()};
  if (missing.by_row || missing.by_column) {
    const at::NoGradGuard no_grad;
    Float8Copies made = float8_quantize(weight.detach(), kForwardType, rowwise, missing);
    if (missing.by_row) {
      copies_.by_row = std::move(made.by_row);
      copies_.row_inverse = std::move(made.row_inverse);
    }
    if (missing.by_column) {
      copies_.by_column = std::move(made.by_column);
      copies_.column_inverse = std::move(made.column_inverse);
    }
  }
  version_ = version;
  rowwise_ = rowwise;
  return copies_;
}

void Float8Weights::forget() {
  copies_ = {};
  version_ = -1;
}

at::Tensor float8_linear(const Float8Input& x, const at::Tensor& weight, const at::Tensor& bias,
                         const Float8Options& options, Float8Weights* weights) {
  check_fit(x.values, weight);
  if (x.values.numel() == 0) return at::linear(x.values, weight, bias);
  TITAN_CHECK(x.rowwise == options.rowwise,
              "[float8] an input and its layer need one recipe (input rowwise=", x.rowwise,
              ", layer rowwise=", options.rowwise, ")");
  if (!detail::needs_gradient({x.values, weight, bias}))
    return product_alone(x, weight, bias, options, weights);
  TITAN_CHECK(x.copies.by_column.defined() || !weight.requires_grad(),
              "[float8] the gradient of W needs the input's transposed copy, which was not made "
              "(Float8Rounding::by_column, gradients recorded)");
  return Float8LinearFunction::apply(x.values, weight, detail::optional(bias), x.copies, options,
                                     weights);
}

at::Tensor float8_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                         const Float8Options& options, Float8Weights* weights) {
  check_fit(x, weight);
  const Float8Rounding rounding{.rowwise = options.rowwise, .by_column = weight.requires_grad()};
  return float8_linear(float8_input(x, rounding), weight, bias, options, weights);
}

Float8Gradients float8_linear_gradients(const at::Tensor& grad, const Float8Copies& x,
                                        const at::Tensor& weight, const Float8Options& options,
                                        bool want_x, bool want_weight, bool want_bias) {
  Operands held{
      .x = x.by_column, .x_inverse = x.column_inverse, .weight = {}, .weight_inverse = {}};
  if (want_x) {
    const Float8Copies w =
        float8_quantize(weight, kForwardType, options.rowwise, {.by_column = true});
    held.weight = w.by_column;
    held.weight_inverse = w.column_inverse;
  }
  return gradients(grad, held, options, {want_x, want_weight, want_bias});
}

}  // namespace titan::ops
