#include "titan/models/encoders/network_formats.h"
#include "titan/models/encoders/t5_config.h"

namespace titan::models {
namespace {

constexpr const char* kEmbedding = "shared.weight";
constexpr const char* kEmbeddingAlias = "encoder.embed_tokens.weight";

std::vector<SymbolicTensor> t5_table(int64_t layers) {
  std::vector<SymbolicTensor> table = {{kEmbedding, {"vocab", "d_model"}}};
  for (int64_t i = 0; i < layers; ++i) {
    const std::string block = str_cat("encoder.block.", i, ".layer.");
    const std::string attention = block + "0.SelfAttention.", feed = block + "1.DenseReluDense.";
    for (const char* name : {"q", "k", "v"})
      table.push_back({attention + name + ".weight", {"inner", "d_model"}});
    table.push_back({attention + "o.weight", {"d_model", "inner"}});
    if (i == 0)
      table.push_back({attention + "relative_attention_bias.weight", {"buckets", "heads"}});
    table.push_back({block + "0.layer_norm.weight", {"d_model"}});
    table.push_back({feed + "wi_0.weight", {"d_ff", "d_model"}});
    table.push_back({feed + "wi_1.weight", {"d_ff", "d_model"}});
    table.push_back({feed + "wo.weight", {"d_model", "d_ff"}});
    table.push_back({block + "1.layer_norm.weight", {"d_model"}});
  }
  table.push_back({"encoder.final_layer_norm.weight", {"d_model"}});
  return table;
}

class T5Names : public NetworkNames {
 public:
  std::vector<std::string> formats() const override { return {"huggingface"}; }
  std::string network() const override { return "a T5 encoder"; }
  bool ignores(const std::string& name) const override {
    return name.rfind("decoder.", 0) == 0 || name.rfind("lm_head.", 0) == 0;
  }
  std::string alias_of(const std::string& name) const override {
    return name == kEmbeddingAlias ? kEmbedding : "";
  }
  std::vector<TensorSpec> tensors(const std::vector<TensorSpec>& stored,
                                  const std::string& /*from*/,
                                  const std::string& /*to*/) const override {
    const std::vector<SymbolicTensor> table = t5_table(layers_of(stored));
    return specs_of(table, vote_sizes(table, stored));
  }
  std::string size(const std::vector<TensorSpec>& stored,
                   const std::string& /*format*/) const override {
    const int64_t layers = layers_of(stored);
    const NetworkSizes sizes = vote_sizes(t5_table(layers), stored);
    return str_cat(layers, " layers, width ", size_text("d_model", sizes), ", ",
                   size_text("heads", sizes), " heads of ", size_text("inner", sizes),
                   " together, feed-forward ", size_text("d_ff", sizes), ", vocabulary ",
                   size_text("vocab", sizes), ", ", size_text("buckets", sizes), " buckets");
  }

 private:
  static int64_t layers_of(const std::vector<TensorSpec>& stored) {
    return count_numbered(stored, "encoder.block.");
  }
};

}  // namespace

std::shared_ptr<const WeightFormats> t5_weight_formats() {
  return make_weight_formats(std::make_unique<T5Names>());
}

}  // namespace titan::models
