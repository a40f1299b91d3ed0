#include "tests/support/catch.h"

#include <string>
#include <vector>

#include "titan/models/encoders/t5_config.h"

#include "tests/encoders/stored_tensors.h"
#include "tests/support/temporary_folder.h"

namespace titan {
namespace {

using Catch::Matchers::Contains;
using testing::named;
using testing::problem;
using testing::Tensors;

/// T5 with two layers, 3 heads of 4, width 8, feed-forward 10, 20 tokens.
Tensors small_t5() {
  Tensors tensors = {{"shared.weight", TensorType::kBF16, {20, 8}},
                     {"encoder.final_layer_norm.weight", TensorType::kBF16, {8}}};
  for (const std::string block : {"encoder.block.0.layer.", "encoder.block.1.layer."}) {
    for (const std::string name : {"q", "k", "v"})
      tensors.push_back(
          {block + "0.SelfAttention." + name + ".weight", TensorType::kBF16, {12, 8}});
    tensors.push_back({block + "0.SelfAttention.o.weight", TensorType::kBF16, {8, 12}});
    tensors.push_back({block + "0.layer_norm.weight", TensorType::kBF16, {8}});
    tensors.push_back({block + "1.layer_norm.weight", TensorType::kBF16, {8}});
    for (const std::string name : {"wi_0", "wi_1"})
      tensors.push_back(
          {block + "1.DenseReluDense." + name + ".weight", TensorType::kBF16, {10, 8}});
    tensors.push_back({block + "1.DenseReluDense.wo.weight", TensorType::kBF16, {8, 10}});
  }
  tensors.push_back({"encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
                     TensorType::kBF16,
                     {32, 3}});
  return tensors;
}

TEST_CASE("T5's weights are known by name and described", "[encoders]") {
  const auto formats = models::t5_weight_formats();
  Tensors stored = small_t5();
  CHECK(formats->detect(stored) == "huggingface");
  CHECK(formats->describe(stored, "huggingface") ==
        "2 layers, width 8, 3 heads of 12 together, feed-forward 10, vocabulary 20, 32 buckets");
  CHECK(problem(*formats, stored).empty());
  CHECK(formats->detect({{"encoder.conv_in.weight", TensorType::kF32, {8, 3, 3, 3}}}).empty());
  CHECK(formats->detect({}).empty());
}

TEST_CASE("T5's embedding has two names, and the decoder is no matter", "[encoders]") {
  const auto formats = models::t5_weight_formats();
  Tensors stored = small_t5();
  stored.push_back({"lm_head.weight", TensorType::kF32, {20, 8}});
  stored.push_back({"decoder.block.7.layer.0.SelfAttention.q.weight", TensorType::kI64, {1}});
  stored.push_back({"encoder.embed_tokens.weight", TensorType::kBF16, {20, 8}});
  const auto both = formats->recipes(stored, "huggingface", "huggingface");
  REQUIRE(both.ok());
  CHECK(both->size() == small_t5().size());
  CHECK(both->front().parts.front().tensor == "shared.weight");
  stored.erase(stored.begin());
  const auto alias = formats->recipes(stored, "huggingface", "huggingface");
  REQUIRE(alias.ok());
  CHECK(alias->front().tensor.name == "shared.weight");
  CHECK(alias->front().tensor.shape == std::vector<int64_t>{20, 8});
  CHECK(alias->front().parts.front().tensor == "encoder.embed_tokens.weight");
  stored.pop_back();
  CHECK_THAT(problem(*formats, stored), Contains("1 missing: shared.weight"));
}

TEST_CASE("What does not fit T5 is named, all at once", "[encoders]") {
  const auto formats = models::t5_weight_formats();
  Tensors stored = small_t5();
  named(stored, "encoder.block.1.layer.0.SelfAttention.o.weight").shape = {8, 13};
  named(stored, "encoder.block.0.layer.1.layer_norm.weight").type = TensorType::kI32;
  named(stored, "encoder.block.1.layer.1.DenseReluDense.wi_0.weight").name =
      "encoder.block.1.layer.1.DenseReluDense.wi.weight";
  const std::string message = problem(*formats, stored);
  CHECK_THAT(message, Contains("a T5 encoder in huggingface's names (2 layers"));
  CHECK_THAT(message, Contains("o.weight is [8, 13], not [8, 12]"));
  CHECK_THAT(message, Contains("layer_norm.weight is I32, not a floating-point type"));
  CHECK_THAT(message, Contains("wi_0.weight (there is "));
  CHECK_THAT(message, Contains("DenseReluDense.wi.weight (wanted is "));
}

TEST_CASE("Hostile names and shapes are refused, not believed", "[encoders]") {
  const auto formats = models::t5_weight_formats();
  Tensors stored = small_t5();
  stored.push_back({"encoder.block.99999999999999999999.layer.0.x", TensorType::kF32, {1}});
  stored.push_back({"encoder.block.4000000.layer.0.x", TensorType::kF32, {INT64_MAX, 2}});
  CHECK_THAT(problem(*formats, stored), Contains("2 unknown"));
  named(stored, "shared.weight").shape = {};
  CHECK_THAT(problem(*formats, stored), Contains("shared.weight is [], not [-1, 8]"));
}

struct ConfigFile {
  testing::TemporaryFolder folder;
  std::string write(const std::string& text) const { return folder.write("config.json", text); }
};

TEST_CASE("T5's config.json is read", "[encoders]") {
  const ConfigFile file;
  const auto config = models::read_t5_config(file.write(
      R"({"model_type": "t5", "vocab_size": 20, "d_model": 8, "num_heads": 3, "d_kv": 4, "d_ff": 10,
          "num_layers": 2, "layer_norm_epsilon": 1e-5, "relative_attention_num_buckets": 16,
          "feed_forward_proj": "gated-gelu", "relative_attention_max_distance": null})"));
  REQUIRE(config.ok());
  CHECK(config->vocab == 20);
  CHECK(config->d_model == 8);
  CHECK(config->heads == 3);
  CHECK(config->d_kv == 4);
  CHECK(config->d_ff == 10);
  CHECK(config->layers == 2);
  CHECK(config->relative_buckets == 16);
  CHECK(config->relative_max_distance == 128);
  CHECK(config->eps == 1e-5);
}

TEST_CASE("A config.json of another kind of T5 is refused with reasons", "[encoders]") {
  const ConfigFile file;
  const auto refusal = [&](const std::string& text) {
    const auto config = models::read_t5_config(file.write(text));
    REQUIRE_FALSE(config.ok());
    CHECK(exit_code_for(config.status()) == 2);
    return message_of(config.status());
  };
  const std::string message = refusal(
      R"({"d_model": 0, "num_heads": 3.5, "d_kv": 64, "num_layers": 99999999999, "vocab_size": 5,
          "feed_forward_proj": "gated-silu", "relative_attention_num_buckets": 2})");
  CHECK_THAT(message, Contains("config.json: ") && Contains("d_ff is missing"));
  CHECK_THAT(message, Contains("d_model is a whole number from 1"));
  CHECK_THAT(message, Contains("num_heads is a whole number") && Contains("num_layers is a whole"));
  CHECK_THAT(message, Contains("relative_attention_num_buckets is a whole number from 4"));
  CHECK_THAT(message, Contains("feed_forward_proj is \"gated-silu\", only gated-gelu"));
  CHECK_THAT(refusal(R"({"vocab_size": 1})"), Contains("feed_forward_proj is \"relu\""));
  CHECK_THAT(refusal(R"({"model_type": "umt5"})"), Contains("model_type is \"umt5\", only t5"));
  CHECK_THAT(refusal("[1]"), Contains("does not hold a JSON object"));
  CHECK_THAT(refusal("{"), Contains("does not hold a JSON object"));
  const auto absent = models::read_t5_config(file.folder / "none.json");
  CHECK_THAT(message_of(absent.status()), Contains("none.json"));
}

}  // namespace
}  // namespace titan
