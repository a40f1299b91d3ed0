// float8.h: settings of matrix products in 8-bit floating point (model.converters = ["float8"]).
#pragma once

#include <string>
#include <vector>

#include "titan/config/fields.h"

namespace titan {

struct Float8Section {
  std::string recipe_name = "tensorwise";
  std::string grad_dtype = "e5m2";
  std::vector<std::string> filter_fqns = {};
  bool emulate = false;
};
template <class V>
void visit_fields(Float8Section& c, V&& v) {
  v("recipe_name", c.recipe_name,
    "one scale for a whole tensor, or one for each row of a product's operands",
    rule::one_of({"tensorwise", "rowwise"}));
  v("grad_dtype", c.grad_dtype, "format of gradients; weights and activations are e4m3",
    rule::one_of({"e5m2", "e4m3"}));
  v("filter_fqns", c.filter_fqns,
    "layers whose name contains one of these texts keep the compute dtype, besides embeddings, "
    "modulation and head");
  v("emulate", c.emulate,
    "round to 8 bits but multiply in float32: for devices without 8-bit products (on the CPU it is "
    "the only way)");
}

}  // namespace titan
