#include "titan/tools/encoder_layout.h"

#include <cmath>

#include <nlohmann/json.hpp>

#include "titan/base/check.h"

namespace titan {
namespace {

constexpr std::int64_t kBuckets = 32;
constexpr std::int64_t kClipPositions = 77;

double inverse_root(std::int64_t value) { return 1.0 / std::sqrt(static_cast<double>(value)); }

}  // namespace

std::string config_json(const SmallT5& model) {
  const nlohmann::ordered_json json = {{"architectures", {"T5EncoderModel"}},
                                       {"model_type", "t5"},
                                       {"vocab_size", model.vocab_size},
                                       {"d_model", model.d_model},
                                       {"d_kv", model.d_kv()},
                                       {"d_ff", model.d_ff()},
                                       {"num_heads", model.num_heads},
                                       {"num_layers", model.num_layers},
                                       {"num_decoder_layers", model.num_layers},
                                       {"feed_forward_proj", "gated-gelu"},
                                       {"relative_attention_num_buckets", kBuckets},
                                       {"relative_attention_max_distance", 128},
                                       {"layer_norm_epsilon", 1e-6},
                                       {"initializer_factor", 1.0},
                                       {"dropout_rate", 0.1},
                                       {"is_encoder_decoder", true},
                                       {"tie_word_embeddings", false},
                                       {"pad_token_id", 0},
                                       {"eos_token_id", 1},
                                       {"decoder_start_token_id", 0}};
  return json.dump(2) + "\n";
}

std::vector<RandomTensor> parameters_of(const SmallT5& model) {
  const std::int64_t d = model.d_model, inner = model.num_heads * model.d_kv();
  const double narrow = inverse_root(d);
  std::vector<RandomTensor> tensors = {{"shared.weight", {model.vocab_size, d}, 1.0}};
  for (std::int64_t layer = 0; layer < model.num_layers; ++layer) {
    const std::string block = str_cat("encoder.block.", layer, ".layer.");
    const std::string attention = block + "0.SelfAttention.", feed = block + "1.DenseReluDense.";
    // Scores are not divided by the root of d_kv: the queries' deviation does it.
    tensors.push_back({attention + "q.weight", {inner, d}, narrow * inverse_root(model.d_kv())});
    tensors.push_back({attention + "k.weight", {inner, d}, narrow});
    tensors.push_back({attention + "v.weight", {inner, d}, narrow});
    tensors.push_back({attention + "o.weight", {d, inner}, inverse_root(inner)});
    if (layer == 0)
      tensors.push_back(
          {attention + "relative_attention_bias.weight", {kBuckets, model.num_heads}, narrow});
    tensors.push_back({block + "0.layer_norm.weight", {d}, 0, 1});
    tensors.push_back({feed + "wi_0.weight", {model.d_ff(), d}, narrow});
    tensors.push_back({feed + "wi_1.weight", {model.d_ff(), d}, narrow});
    tensors.push_back({feed + "wo.weight", {d, model.d_ff()}, inverse_root(model.d_ff())});
    tensors.push_back({block + "1.layer_norm.weight", {d}, 0, 1});
  }
  tensors.push_back({"encoder.final_layer_norm.weight", {d}, 0, 1});
  return tensors;
}

std::string config_json(const SmallClip& model) {
  // eos_token_id 2, as in the published files, means: pooled at the largest id.
  const nlohmann::ordered_json json = {{"architectures", {"CLIPTextModel"}},
                                       {"model_type", "clip_text_model"},
                                       {"vocab_size", model.vocab_size},
                                       {"hidden_size", model.width},
                                       {"intermediate_size", 4 * model.width},
                                       {"projection_dim", model.width},
                                       {"num_hidden_layers", model.num_layers},
                                       {"num_attention_heads", model.num_heads},
                                       {"max_position_embeddings", kClipPositions},
                                       {"hidden_act", "quick_gelu"},
                                       {"layer_norm_eps", 1e-5},
                                       {"attention_dropout", 0.0},
                                       {"initializer_range", 0.02},
                                       {"initializer_factor", 1.0},
                                       {"bos_token_id", 0},
                                       {"eos_token_id", 2},
                                       {"pad_token_id", 1}};
  return json.dump(2) + "\n";
}

std::vector<RandomTensor> parameters_of(const SmallClip& model) {
  constexpr double kEmbedding = 0.02;
  const std::int64_t width = model.width, hidden = 4 * model.width;
  const double wide = inverse_root(width), deep = wide * inverse_root(2 * model.num_layers);
  std::vector<RandomTensor> tensors = {
      {"text_model.embeddings.token_embedding.weight", {model.vocab_size, width}, kEmbedding},
      {"text_model.embeddings.position_embedding.weight", {kClipPositions, width}, kEmbedding}};
  const auto linear = [&](const std::string& name, std::int64_t out, std::int64_t in,
                          double deviation) {
    tensors.push_back({name + ".weight", {out, in}, deviation});
    tensors.push_back({name + ".bias", {out}});
  };
  const auto norm = [&](const std::string& name) {
    tensors.push_back({name + ".weight", {width}, 0, 1});
    tensors.push_back({name + ".bias", {width}});
  };
  for (std::int64_t layer = 0; layer < model.num_layers; ++layer) {
    const std::string block = str_cat("text_model.encoder.layers.", layer, ".");
    norm(block + "layer_norm1");
    for (const char* name : {"q_proj", "k_proj", "v_proj"})
      linear(block + "self_attn." + name, width, width, deep);
    linear(block + "self_attn.out_proj", width, width, wide);
    norm(block + "layer_norm2");
    linear(block + "mlp.fc1", hidden, width, inverse_root(2 * width));
    linear(block + "mlp.fc2", width, hidden, deep);
  }
  norm("text_model.final_layer_norm");
  return tensors;
}

}  // namespace titan
