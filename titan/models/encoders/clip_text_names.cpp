#include "titan/models/encoders/clip_text_config.h"
#include "titan/models/encoders/network_formats.h"

namespace titan::models {
namespace {

constexpr const char* kLayers = "text_model.encoder.layers.";

std::vector<SymbolicTensor> clip_table(int64_t layers) {
  std::vector<SymbolicTensor> table = {
      {"text_model.embeddings.token_embedding.weight", {"vocab", "width"}},
      {"text_model.embeddings.position_embedding.weight", {"positions", "width"}}};
  const auto add_linear = [&](const std::string& name, const char* out, const char* in) {
    table.push_back({name + ".weight", {out, in}});
    table.push_back({name + ".bias", {out}});
  };
  const auto add_norm = [&](const std::string& name) {
    table.push_back({name + ".weight", {"width"}});
    table.push_back({name + ".bias", {"width"}});
  };
  for (int64_t i = 0; i < layers; ++i) {
    const std::string layer = str_cat(kLayers, i, ".");
    for (const char* name : {"q_proj", "k_proj", "v_proj", "out_proj"})
      add_linear(layer + "self_attn." + name, "width", "width");
    add_norm(layer + "layer_norm1");
    add_linear(layer + "mlp.fc1", "mlp", "width");
    add_linear(layer + "mlp.fc2", "width", "mlp");
    add_norm(layer + "layer_norm2");
  }
  add_norm("text_model.final_layer_norm");
  return table;
}

class ClipTextNames : public NetworkNames {
 public:
  std::vector<std::string> formats() const override { return {"huggingface"}; }
  std::string network() const override { return "a CLIP text encoder"; }
  bool ignores(const std::string& name) const override {
    for (const char* prefix : {"vision_model.", "visual_projection.", "text_projection.",
                               "logit_scale", "text_model.embeddings.position_ids"})
      if (name.rfind(prefix, 0) == 0) return true;
    return false;
  }
  std::vector<TensorSpec> tensors(const std::vector<TensorSpec>& stored,
                                  const std::string& /*from*/,
                                  const std::string& /*to*/) const override {
    const std::vector<SymbolicTensor> table = clip_table(layers_of(stored));
    return specs_of(table, vote_sizes(table, stored));
  }
  std::string size(const std::vector<TensorSpec>& stored,
                   const std::string& /*format*/) const override {
    const int64_t layers = layers_of(stored);
    const NetworkSizes sizes = vote_sizes(clip_table(layers), stored);
    return str_cat(layers, " layers, width ", size_text("width", sizes), ", feed-forward ",
                   size_text("mlp", sizes), ", vocabulary ", size_text("vocab", sizes), ", ",
                   size_text("positions", sizes), " positions");
  }

 private:
  static int64_t layers_of(const std::vector<TensorSpec>& stored) {
    return count_numbered(stored, kLayers);
  }
};

}  // namespace

std::shared_ptr<const WeightFormats> clip_text_weight_formats() {
  return make_weight_formats(std::make_unique<ClipTextNames>());
}

}  // namespace titan::models
