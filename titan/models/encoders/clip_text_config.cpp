#include "titan/models/encoders/clip_text_config.h"

#include <nlohmann/json.hpp>

#include "titan/models/encoders/json_fields.h"

namespace titan::models {
namespace {

using nlohmann::json;

StatusOr<ClipTextConfig> read_fields(JsonFields& fields) {
  ClipTextConfig config;
  config.width = 512;  // the library's defaults, of ViT-B/32
  config.heads = 8;
  config.mlp = 2048;
  std::string activation = "quick_gelu";
  fields.optional("vocab_size", config.vocab);
  fields.optional("hidden_size", config.width);
  fields.optional("num_hidden_layers", config.layers);
  fields.optional("num_attention_heads", config.heads);
  fields.optional("intermediate_size", config.mlp);
  fields.optional("max_position_embeddings", config.positions);
  fields.optional("layer_norm_eps", config.eps);
  fields.optional("hidden_act", activation);
  if (activation == "gelu") {
    config.activation = ClipTextConfig::Activation::kGelu;
  } else if (activation != "quick_gelu") {
    fields.add_problem(
        str_cat("hidden_act is \"", activation, "\", supported are quick_gelu and gelu"));
  }
  if (config.width % config.heads != 0)
    fields.add_problem(str_cat("num_attention_heads divides hidden_size (", config.heads, ", ",
                               config.width, ")"));
  if (!(config.eps > 0)) fields.add_problem("layer_norm_eps is above 0");
  TITAN_RETURN_IF_ERROR(fields.status());
  return config;
}

}  // namespace

StatusOr<ClipTextConfig> read_clip_text_config(const std::string& config_json_path) {
  TITAN_ASSIGN_OR_RETURN(const json object, read_json_object(config_json_path));
  const auto text = object.find("text_config");
  if (text != object.end() && text->is_object()) {
    JsonFields fields(*text, config_json_path + ", text_config");
    return read_fields(fields);
  }
  JsonFields fields(object, config_json_path);
  std::string type = "clip_text_model";
  fields.optional("model_type", type);
  if (type != "clip_text_model") {
    fields.add_problem(type == "clip" ? "text_config is missing"
                                      : str_cat("model_type is \"", type,
                                                "\", supported are clip and clip_text_model"));
    return fields.status();
  }
  return read_fields(fields);
}

}  // namespace titan::models
