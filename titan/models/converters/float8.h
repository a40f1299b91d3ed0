// converters: what changes a model once it is built (model.converters). Parameters, their names and
// their master values stay as they are.
//
// float8.h: products of linear layers in 8-bit floating point.
#pragma once

#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/config/job_config.h"
#include "titan/protocols/model.h"

namespace titan::models {

struct Float8Conversion {
  int64_t num_linear = 0;                   ///< linear layers of the model
  std::vector<std::string> converted;       ///< their names
  std::vector<std::string> kept;            ///< "name: why" of the others
  std::vector<std::string> unused_filters;  ///< of filter_fqns, those that are in no layer's name
};

/// Switches linear layers to 8-bit products: those inside blocks whose sizes 16 divides, but for
/// modulations (a part of their name is or ends in "mod", or has "modulation" in it) and for names
/// that contain a text of filter_fqns. What lies outside the blocks embeds or is the head, and
/// stays.
Float8Conversion convert_to_float8(Model& model, const Float8Section& settings);

/// Whether converted layers keep their 8-bit weights until those change: for models whose weights
/// stay in memory whole. At first they do not.
void keep_float8_weights(Model& model, bool keep);
/// Gives back the 8-bit weights that converted layers keep; those that are wanted again are made
/// again.
void forget_float8_weights(Model& model);

/// Whether what converted layers read is rounded by the operation that makes it, once for all of
/// them (layers/layer_inputs.h); the same bits either way. At first it is.
void fuse_float8_inputs(Model& model, bool fuse);

/// Applies model.converters in order; says in one log line what was converted (each layer with
/// model.print_after_conversion) and warns where nothing was. With training.compile=false nothing
/// is fused. An unknown name is an error.
Status apply_converters(Model& model, const JobConfig& config, bool say);

}  // namespace titan::models
