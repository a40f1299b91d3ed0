#include "titan/models/encoders/autoencoder_config.h"

#include <filesystem>

#include <nlohmann/json.hpp>

#include "titan/base/printable.h"
#include "titan/io/safetensors_set.h"
#include "titan/models/encoders/autoencoder_table.h"
#include "titan/models/encoders/json_fields.h"
#include "titan/protocols/weight_problems.h"

namespace titan::models {
namespace {

namespace fs = std::filesystem;

/// diffusers' config.json beside the weights, where there is one: what no shape tells.
Status read_beside(const std::string& weights_path, AutoencoderConfig& config) {
  const fs::path path = weights_path;
  std::error_code ignored;
  const fs::path folder = fs::is_directory(path, ignored) ? path : path.parent_path();
  const fs::path beside = folder / "config.json";
  if (!fs::exists(beside, ignored)) return ok_status();
  TITAN_ASSIGN_OR_RETURN(const nlohmann::json object, read_json_object(beside.string()));
  JsonFields fields(object, beside.string());
  std::string kind = "AutoencoderKL", activation = "silu";
  fields.optional("_class_name", kind);
  if (kind != "AutoencoderKL") return ok_status();  // of something else in the same folder
  fields.optional("norm_num_groups", config.norm_groups);
  fields.optional("act_fn", activation);
  if (activation != "silu" && activation != "swish")
    fields.add_problem(str_cat("act_fn is \"", activation, "\", only silu is supported"));
  return fields.status();
}

}  // namespace

StatusOr<AutoencoderConfig> autoencoder_config_of(const std::vector<TensorSpec>& stored) {
  const auto formats = autoencoder_weight_formats();
  const std::string format = formats->detect(stored);
  if (format.empty())
    return failed_precondition("the names are none of an autoencoder's (known: ",
                               listed(formats->names()), "); the first are ", first_names(stored));
  TITAN_RETURN_IF_ERROR(formats->recipes(stored, format, "bfl").status());
  const AutoencoderLayout layout = autoencoder_layout_of(stored, format);
  constexpr int64_t kDeepest = 16;  // a latent of 32768 x 32768 pixels
  if (layout.levels > kDeepest)
    return failed_precondition("an autoencoder has up to ", kDeepest,
                               " levels (here: ", layout.levels, ")");
  const NetworkSizes sizes = autoencoder_sizes_of(stored, format, layout);
  AutoencoderConfig config;
  config.in_channels = sizes.at("in");
  config.out_channels = sizes.at("out");
  config.ch = sizes.at("ch");
  config.z_channels = sizes.at("z");
  config.blocks = layout.blocks;
  config.widths.clear();
  for (int64_t level = 0; level < layout.levels; ++level)
    config.widths.push_back(sizes.at(width_symbol(level)));
  return config;
}

StatusOr<AutoencoderConfig> read_autoencoder_config(const std::string& weights_path) {
  TITAN_ASSIGN_OR_RETURN(const SafetensorsSet weights, SafetensorsSet::open(weights_path));
  StatusOr<AutoencoderConfig> config = autoencoder_config_of(weights.tensors());
  if (!config.ok()) return annotate(config.status(), "[encoder] " + weights.path());
  TITAN_RETURN_IF_ERROR(read_beside(weights_path, *config));
  for (const int64_t width : config->widths) {
    if (width % config->norm_groups != 0)
      return failed_precondition("[encoder] ", weights.path(),
                                 ": every level's width is a multiple of the norms' ",
                                 config->norm_groups, " groups (width ", width, ")");
  }
  return config;
}

}  // namespace titan::models
