#include "titan/models/layers/float8_layer.h"

#include <array>

#include "titan/ops/kept.h"

namespace titan::models {
namespace {

/// A derivative is a plain function, so each choice of options has one.
template <bool kRowwise, bool kE5m2, bool kEmulate>
ops::TensorList derivative(const ops::KeptCall& call) {
  const ops::Float8Options options{.rowwise = kRowwise,
                                   .grad_dtype = kE5m2 ? at::kFloat8_e5m2 : at::kFloat8_e4m3fn,
                                   .emulate = kEmulate};
  const ops::Float8Copies x{.by_row = {},
                            .row_inverse = {},
                            .by_column = call.inputs[3],
                            .column_inverse = call.inputs[4]};
  ops::Float8Gradients result = ops::float8_linear_gradients(
      call.grad, x, call.inputs[1], options, call.wanted[0], call.wanted[1], call.wanted[2]);
  return {result.x, result.weight, result.bias, {}, {}};
}

template <bool kRowwise, bool kE5m2, bool kEmulate>
constexpr ops::Keepable keepable() {
  return {.tag = ops::kMatmulTag,
          .num_results = 1,
          .derivative = derivative<kRowwise, kE5m2, kEmulate>};
}

const ops::Keepable& keepable_for(const ops::Float8Options& options) {
  static constexpr std::array<ops::Keepable, 8> kAll = {
      keepable<false, false, false>(), keepable<false, false, true>(),
      keepable<false, true, false>(),  keepable<false, true, true>(),
      keepable<true, false, false>(),  keepable<true, false, true>(),
      keepable<true, true, false>(),   keepable<true, true, true>()};
  const bool e5m2 = options.grad_dtype == at::kFloat8_e5m2;
  return kAll[4U * static_cast<unsigned>(options.rowwise) + 2U * static_cast<unsigned>(e5m2) +
              static_cast<unsigned>(options.emulate)];
}

}  // namespace

at::Tensor float8_forward(Float8Layer& layer, const LinearInput& x, const at::Tensor& weight,
                          const at::Tensor& bias) {
  const ops::Float8Options& options = layer.options;
  const ops::Float8Input rounded =
      x.is_rounded() ? x.rounded()
                     : ops::float8_input(x.tensor(), {.rowwise = options.rowwise,
                                                      .by_column = weight.requires_grad()});
  return ops::kept(
      keepable_for(options),
      [&] {
        return ops::float8_linear(rounded, weight, bias, options,
                                  layer.keep_weights ? &layer.weights : nullptr);
      },
      rounded.values, weight, bias, rounded.copies.by_column, rounded.copies.column_inverse);
}

}  // namespace titan::models
