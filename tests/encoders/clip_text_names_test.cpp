#include "tests/support/catch.h"

#include <string>
#include <vector>

#include "titan/models/encoders/clip_text_config.h"

#include "tests/encoders/stored_tensors.h"
#include "tests/support/temporary_folder.h"

namespace titan {
namespace {

using Catch::Matchers::Contains;
using testing::named;
using testing::problem;
using testing::Tensors;

/// A text encoder with one layer of width 8, feed-forward 12, 30 tokens, 5 positions.
Tensors small_clip() {
  Tensors tensors;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    tensors.push_back({"text_model." + name, TensorType::kF16, std::move(shape)});
  };
  add("embeddings.token_embedding.weight", {30, 8});
  add("embeddings.position_embedding.weight", {5, 8});
  for (const std::string name :
       {"final_layer_norm", "encoder.layers.0.layer_norm1", "encoder.layers.0.layer_norm2"}) {
    add(name + ".weight", {8});
    add(name + ".bias", {8});
  }
  for (const std::string name : {"q_proj", "k_proj", "v_proj", "out_proj"}) {
    add("encoder.layers.0.self_attn." + name + ".weight", {8, 8});
    add("encoder.layers.0.self_attn." + name + ".bias", {8});
  }
  add("encoder.layers.0.mlp.fc1.weight", {12, 8});
  add("encoder.layers.0.mlp.fc1.bias", {12});
  add("encoder.layers.0.mlp.fc2.weight", {8, 12});
  add("encoder.layers.0.mlp.fc2.bias", {8});
  return tensors;
}

TEST_CASE("CLIP's text weights are found in a whole CLIP", "[encoders]") {
  const auto formats = models::clip_text_weight_formats();
  Tensors stored = small_clip();
  CHECK(formats->describe(stored, "huggingface") ==
        "1 layers, width 8, feed-forward 12, vocabulary 30, 5 positions");
  for (int i = 0; i < 200; ++i)  // most of the file is the half that sees images
    stored.push_back({"vision_model.encoder.layers." + std::to_string(i) + ".mlp.fc1.weight",
                      TensorType::kF16,
                      {16, 16}});
  stored.push_back({"text_model.embeddings.position_ids", TensorType::kI64, {1, 5}});
  stored.push_back({"logit_scale", TensorType::kF32, {}});
  stored.push_back({"text_projection.weight", TensorType::kF16, {8, 8}});
  stored.push_back({"visual_projection.weight", TensorType::kF16, {8, 16}});
  CHECK(formats->detect(stored) == "huggingface");
  CHECK(problem(*formats, stored).empty());
  const auto recipes = formats->recipes(stored, "huggingface", "huggingface");
  REQUIRE(recipes.ok());
  CHECK(recipes->size() == small_clip().size());
  CHECK(recipes->front().tensor.type == TensorType::kF16);
}

TEST_CASE("What does not fit CLIP is named", "[encoders]") {
  const auto formats = models::clip_text_weight_formats();
  Tensors stored = small_clip();
  named(stored, "text_model.encoder.layers.0.mlp.fc2.weight").shape = {12, 8};
  named(stored, "text_model.final_layer_norm.bias").name = "text_model.final_layernorm.bias";
  stored.push_back({"text_model.extra", TensorType::kF16, {1}});
  const std::string message = problem(*formats, stored);
  CHECK_THAT(message, Contains("a CLIP text encoder in huggingface's names (1 layers, width 8"));
  CHECK_THAT(message, Contains("mlp.fc2.weight is [12, 8], not [8, 12]"));
  CHECK_THAT(message, Contains("final_layer_norm.bias (there is text_model.final_layernorm.bias)"));
  CHECK_THAT(message, Contains("2 unknown"));
  CHECK(formats->detect({{"vision_model.x", TensorType::kF16, {1}}}).empty());
}

TEST_CASE("CLIP's config.json is read, alone or inside", "[encoders]") {
  const testing::TemporaryFolder folder;
  const auto read = [&](const std::string& text) {
    return models::read_clip_text_config(folder.write("config.json", text));
  };
  const auto whole = read(R"({"model_type": "clip", "vision_config": {"hidden_size": 1024},
      "text_config": {"hidden_size": 24, "num_attention_heads": 2, "num_hidden_layers": 3,
                      "intermediate_size": 96, "eos_token_id": 2}})");
  REQUIRE(whole.ok());
  CHECK(whole->width == 24);
  CHECK(whole->heads == 2);
  CHECK(whole->layers == 3);
  CHECK(whole->mlp == 96);
  CHECK(whole->vocab == 49408);
  CHECK(whole->positions == 77);
  const auto alone = read(R"({"model_type": "clip_text_model", "hidden_size": 16,
      "num_attention_heads": 4, "hidden_act": "gelu", "layer_norm_eps": 1e-6})");
  REQUIRE(alone.ok());
  CHECK(alone->width == 16);
  CHECK(alone->eps == 1e-6);
  CHECK(alone->activation == models::ClipTextConfig::Activation::kGelu);

  const auto refusal = [&](const std::string& text) { return message_of(read(text).status()); };
  CHECK_THAT(refusal(R"({"text_config": {"hidden_act": "relu", "num_attention_heads": 3}})"),
             Contains("config.json, text_config: hidden_act is \"relu\"") &&
                 Contains("num_attention_heads divides hidden_size (3, 512)"));
  CHECK_THAT(refusal(R"({"model_type": "clip"})"), Contains("text_config is missing"));
  CHECK_THAT(refusal(R"({"model_type": "t5"})"), Contains("model_type is \"t5\", supported"));
  CHECK_THAT(refusal(R"({"hidden_size": "wide"})"), Contains("hidden_size is a whole number"));
}

}  // namespace
}  // namespace titan
