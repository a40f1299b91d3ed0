#include "titan/models/encoders/t5_config.h"

#include <nlohmann/json.hpp>

#include "titan/models/encoders/json_fields.h"

namespace titan::models {

StatusOr<T5Config> read_t5_config(const std::string& config_json_path) {
  TITAN_ASSIGN_OR_RETURN(const nlohmann::json object, read_json_object(config_json_path));
  T5Config config;
  JsonFields fields(object, config_json_path);
  std::string type = "t5", feed_forward = "relu";  // the library's default where the key is absent
  fields.optional("model_type", type);
  if (type != "t5") {
    fields.add_problem(str_cat("model_type is \"", type, "\", only t5 is supported"));
    return fields.status();
  }
  fields.required("vocab_size", config.vocab);
  fields.required("d_model", config.d_model);
  fields.required("num_heads", config.heads);
  fields.required("d_kv", config.d_kv);
  fields.required("d_ff", config.d_ff);
  fields.required("num_layers", config.layers);
  fields.optional("relative_attention_num_buckets", config.relative_buckets, /*least=*/4);
  fields.optional("relative_attention_max_distance", config.relative_max_distance);
  fields.optional("layer_norm_epsilon", config.eps);
  fields.optional("feed_forward_proj", feed_forward);
  if (feed_forward != "gated-gelu")
    fields.add_problem(str_cat("feed_forward_proj is \"", feed_forward,
                               "\", only gated-gelu (T5 version 1.1) is supported"));
  if (config.relative_max_distance <= config.relative_buckets / 4)
    fields.add_problem(
        "relative_attention_max_distance is above a quarter of "
        "relative_attention_num_buckets");
  if (!(config.eps > 0)) fields.add_problem("layer_norm_epsilon is above 0");
  TITAN_RETURN_IF_ERROR(fields.status());
  return config;
}

}  // namespace titan::models
