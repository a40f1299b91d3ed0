#include "tests/support/catch.h"

#include <algorithm>
#include <map>
#include <set>

#include "titan/models/flux/name_table.h"
#include "titan/models/flux/names.h"

namespace titan {
namespace {

using Catch::Matchers::Contains;
using models::evaluate_size;
using models::flux_tensors;
using models::FluxLayout;
using models::FluxSizes;

struct Shape {
  FluxLayout layout;
  FluxSizes sizes;
};
const Shape kSchnell{
    {19, 38, false, true},
    {{'h', 3072}, {'m', 12288}, {'d', 128}, {'i', 64}, {'o', 64}, {'c', 4096}, {'v', 768}}};
const Shape kTiny{{2, 3, true, true},
                  {{'h', 32}, {'m', 48}, {'d', 8}, {'i', 16}, {'o', 12}, {'c', 24}, {'v', 20}}};

std::vector<TensorSpec> specs(const Shape& shape, const std::string& format,
                              TensorType type = TensorType::kBF16) {
  return models::flux_specs(flux_tensors(shape.layout), shape.sizes, format, type);
}

int64_t elements(const std::vector<TensorSpec>& tensors) {
  int64_t sum = 0;
  for (const TensorSpec& tensor : tensors) {
    int64_t count = 1;
    for (const int64_t size : tensor.shape) count *= size;
    sum += count;
  }
  return sum;
}

TensorSpec& named(std::vector<TensorSpec>& tensors, const std::string& name) {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const TensorSpec& tensor) { return tensor.name == name; });
  REQUIRE(found != tensors.end());
  return *found;
}

TEST_CASE("The table holds the published model", "[flux]") {
  CHECK(specs(kSchnell, "bfl").size() == 776);
  CHECK(elements(specs(kSchnell, "bfl")) == 11'891'178'560);
  CHECK(elements(specs(kSchnell, "diffusers")) == 11'891'178'560);
  Shape dev = kSchnell;
  dev.layout.guidance = true;
  CHECK(specs(dev, "bfl").size() == 780);
  CHECK(elements(specs(dev, "bfl")) == 11'901'408'320);
  for (const char* format : {"bfl", "diffusers", "torchtitan"}) {
    std::set<std::string> names;
    for (const TensorSpec& tensor : specs(dev, format)) names.insert(tensor.name);
    CHECK(names.size() == specs(dev, format).size());
  }
  CHECK(evaluate_size("3h+m", {{'h', 2}, {'m', 5}}) == 11);
  CHECK(evaluate_size("3h+x", {{'h', 2}}) == -1);
  CHECK(evaluate_size("256", {}) == 256);
  CHECK(evaluate_size("3h", {{'h', int64_t{1} << 62}}) == -1);
  CHECK(evaluate_size("h+m", {{'h', INT64_MAX}, {'m', 1}}) == -1);
}

TEST_CASE("A format is found out from names and says what it holds", "[flux]") {
  const auto formats = models::flux_weight_formats();
  for (const Shape& shape : {kSchnell, kTiny}) {
    for (const std::string& format : formats->names()) {
      const std::vector<TensorSpec> stored = specs(shape, format);
      CHECK(formats->detect(stored) == format);
      CHECK(formats->describe(stored, format) == formats->describe(specs(shape, "bfl"), "bfl"));
    }
  }
  CHECK(
      formats->describe(specs(kTiny, "diffusers"), "diffusers") ==
      "2 double and 3 single blocks, width 32, feed-forward 48, heads of 8, image tokens 16, text "
      "24, pooled text 20, with guidance embedding");
  CHECK(formats->detect({{"layers.0.weight", TensorType::kF32, {1}}}).empty());
  CHECK(formats->detect({}).empty());
  // A block number beyond reason is a name like any other.
  std::vector<TensorSpec> odd = specs(kTiny, "bfl");
  odd.push_back({"double_blocks.99999999999.img_mod.lin.weight", TensorType::kF32, {1}});
  CHECK(formats->detect(odd) == "bfl");
}

/// Elements of a set of tensors as numbers, so that a conversion can be carried out by its recipes.
using Values = std::map<std::string, std::vector<int64_t>>;

Values carried_out(const std::vector<TensorRecipe>& recipes, const Values& stored) {
  Values made;
  for (const TensorRecipe& recipe : recipes) {
    const int64_t row = recipe.tensor.shape.size() == 2 ? recipe.tensor.shape[1] : 1;
    std::vector<int64_t>& out = made[recipe.tensor.name];
    for (const RowRange& part : recipe.parts) {
      const std::vector<int64_t>& from = stored.at(part.tensor);
      REQUIRE((part.first + part.count) * row <= static_cast<int64_t>(from.size()));
      out.insert(out.end(), from.begin() + part.first * row,
                 from.begin() + (part.first + part.count) * row);
    }
    CHECK(static_cast<int64_t>(out.size()) == recipe.tensor.shape[0] * row);
  }
  return made;
}

TEST_CASE("Every conversion and its inverse give back each element", "[flux]") {
  const auto formats = models::flux_weight_formats();
  Shape no_double = kTiny;
  no_double.layout.depth = 0;
  Shape no_bias = kTiny;
  no_bias.layout.qkv_bias = no_bias.layout.guidance = false;
  for (const Shape& shape : {kTiny, no_double, no_bias}) {
    Values bfl;
    int64_t next = 0;
    for (const TensorSpec& tensor : specs(shape, "bfl"))
      for (int64_t i = elements({tensor}); i > 0; --i) bfl[tensor.name].push_back(next++);
    for (const std::string& to : formats->names()) {
      const auto there = formats->recipes(specs(shape, "bfl"), "bfl", to);
      INFO(to << (there.ok() ? "" : message_of(there.status())));
      REQUIRE(there.ok());
      std::vector<TensorSpec> made;
      for (const TensorRecipe& recipe : *there) made.push_back(recipe.tensor);
      CHECK(elements(made) == elements(specs(shape, "bfl")));
      for (const TensorSpec& tensor : made) CHECK(tensor.type == TensorType::kBF16);
      const auto back = formats->recipes(made, to, "bfl");
      REQUIRE(back.ok());
      CHECK(carried_out(*back, carried_out(*there, bfl)) == bfl);
    }
  }
}

TEST_CASE("diffusers' tensors are the documented rows of Black Forest Labs'", "[flux]") {
  const auto formats = models::flux_weight_formats();
  const auto recipes = formats->recipes(specs(kTiny, "bfl"), "bfl", "diffusers");
  REQUIRE(recipes.ok());
  const auto source = [&](const std::string& name) {
    std::string text;
    for (const TensorRecipe& recipe : *recipes) {
      if (recipe.tensor.name != name) continue;
      for (const RowRange& part : recipe.parts)
        text += str_cat(text.empty() ? "" : " ", part.tensor, "[", part.first, ":",
                        part.first + part.count, "]");
    }
    return text;
  };
  const std::map<std::string, std::string> expected = {
      {"time_text_embed.timestep_embedder.linear_1.weight", "time_in.in_layer.weight[0:32]"},
      {"time_text_embed.timestep_embedder.linear_2.bias", "time_in.out_layer.bias[0:32]"},
      {"time_text_embed.text_embedder.linear_1.weight", "vector_in.in_layer.weight[0:32]"},
      {"time_text_embed.guidance_embedder.linear_2.weight", "guidance_in.out_layer.weight[0:32]"},
      {"context_embedder.weight", "txt_in.weight[0:32]"},
      {"x_embedder.bias", "img_in.bias[0:32]"},
      {"transformer_blocks.1.norm1.linear.weight", "double_blocks.1.img_mod.lin.weight[0:192]"},
      {"transformer_blocks.1.norm1_context.linear.bias", "double_blocks.1.txt_mod.lin.bias[0:192]"},
      {"transformer_blocks.1.attn.to_q.weight", "double_blocks.1.img_attn.qkv.weight[0:32]"},
      {"transformer_blocks.1.attn.to_k.weight", "double_blocks.1.img_attn.qkv.weight[32:64]"},
      {"transformer_blocks.1.attn.to_v.bias", "double_blocks.1.img_attn.qkv.bias[64:96]"},
      {"transformer_blocks.0.attn.add_q_proj.weight", "double_blocks.0.txt_attn.qkv.weight[0:32]"},
      {"transformer_blocks.0.attn.add_k_proj.bias", "double_blocks.0.txt_attn.qkv.bias[32:64]"},
      {"transformer_blocks.0.attn.add_v_proj.weight", "double_blocks.0.txt_attn.qkv.weight[64:96]"},
      {"transformer_blocks.0.attn.norm_q.weight",
       "double_blocks.0.img_attn.norm.query_norm.scale[0:8]"},
      {"transformer_blocks.0.attn.norm_added_k.weight",
       "double_blocks.0.txt_attn.norm.key_norm.scale[0:8]"},
      {"transformer_blocks.0.attn.to_out.0.weight", "double_blocks.0.img_attn.proj.weight[0:32]"},
      {"transformer_blocks.0.attn.to_add_out.weight", "double_blocks.0.txt_attn.proj.weight[0:32]"},
      {"transformer_blocks.0.ff.net.0.proj.weight", "double_blocks.0.img_mlp.0.weight[0:48]"},
      {"transformer_blocks.0.ff.net.2.bias", "double_blocks.0.img_mlp.2.bias[0:32]"},
      {"transformer_blocks.0.ff_context.net.2.weight", "double_blocks.0.txt_mlp.2.weight[0:32]"},
      {"single_transformer_blocks.2.norm.linear.weight",
       "single_blocks.2.modulation.lin.weight[0:96]"},
      {"single_transformer_blocks.2.attn.to_v.weight", "single_blocks.2.linear1.weight[64:96]"},
      {"single_transformer_blocks.2.proj_mlp.weight", "single_blocks.2.linear1.weight[96:144]"},
      {"single_transformer_blocks.2.proj_mlp.bias", "single_blocks.2.linear1.bias[96:144]"},
      {"single_transformer_blocks.2.attn.norm_k.weight",
       "single_blocks.2.norm.key_norm.scale[0:8]"},
      {"single_transformer_blocks.2.proj_out.weight", "single_blocks.2.linear2.weight[0:32]"},
      {"proj_out.weight", "final_layer.linear.weight[0:12]"},
      {"norm_out.linear.weight",
       "final_layer.adaLN_modulation.1.weight[32:64] final_layer.adaLN_modulation.1.weight[0:32]"},
      {"norm_out.linear.bias",
       "final_layer.adaLN_modulation.1.bias[32:64] final_layer.adaLN_modulation.1.bias[0:32]"},
  };
  for (const auto& [name, rows] : expected) CHECK(source(name) == rows);
  const auto titan = formats->recipes(specs(kTiny, "bfl"), "bfl", "torchtitan");
  REQUIRE(titan.ok());
  std::set<std::string> names;
  for (const TensorRecipe& recipe : *titan) names.insert(recipe.tensor.name);
  CHECK(names.contains("double_blocks.0.img_attn.norm.query_norm.weight"));
  CHECK(names.contains("single_blocks.0.norm.key_norm.weight"));
  CHECK(names.contains("img_in.weight"));
}

TEST_CASE("Everything that does not fit is said at once", "[flux]") {
  const auto formats = models::flux_weight_formats();
  std::vector<TensorSpec> stored = specs(kTiny, "diffusers");
  named(stored, "transformer_blocks.1.attn.to_k.weight").name =
      "transformer_blocks.1.attn.to_kk.weight";
  named(stored, "transformer_blocks.0.ff.net.2.weight").shape = {32, 49};
  named(stored, "norm_out.linear.bias").type = TensorType::kI64;
  named(stored, "single_transformer_blocks.0.attn.to_v.weight").type = TensorType::kF32;
  stored.push_back({"position_ids", TensorType::kF32, {3}});
  const auto recipes = formats->recipes(stored, "diffusers", "bfl");
  REQUIRE_FALSE(recipes.ok());
  CHECK(recipes.status().code() == absl::StatusCode::kFailedPrecondition);
  const std::string why = message_of(recipes.status());
  INFO(why);
  CHECK_THAT(why, Contains("1 missing: transformer_blocks.1.attn.to_k.weight (there is "
                           "transformer_blocks.1.attn.to_kk.weight)"));
  CHECK_THAT(why, Contains("2 unknown:") && Contains("position_ids"));
  CHECK_THAT(why, Contains("transformer_blocks.0.ff.net.2.weight is [32, 49], not [32, 48]"));
  CHECK_THAT(why, Contains("norm_out.linear.bias is I64, not a floating-point type"));
  CHECK_THAT(why, Contains("single_transformer_blocks.0.attn.to_v.weight is F32, but "
                           "single_transformer_blocks.0.attn.to_q.weight, which it is joined with, "
                           "BF16"));
}

TEST_CASE("Hostile numbers of blocks and sizes cost nothing and are named", "[flux]") {
  const auto formats = models::flux_weight_formats();
  std::vector<TensorSpec> many;
  for (int i = 0; i < 3000; ++i)
    many.push_back({str_cat("double_blocks.", i, ".x"), TensorType::kF32, {1}});
  CHECK(formats->detect(many).empty());
  const auto deep = formats->recipes(many, "bfl", "diffusers");
  REQUIRE_FALSE(deep.ok());
  CHECK_THAT(message_of(deep.status()), Contains("3000 unknown: double_blocks.0.x"));

  const int64_t huge = int64_t{1} << 62;
  std::vector<TensorSpec> wide;
  for (const TensorSpec& tensor : specs(kTiny, "bfl"))
    wide.push_back({tensor.name, tensor.type, std::vector<int64_t>(tensor.shape.size(), huge)});
  for (const char* to : {"bfl", "diffusers"}) {
    const auto recipes = formats->recipes(wide, "bfl", to);
    REQUIRE_FALSE(recipes.ok());
    CHECK_THAT(message_of(recipes.status()), Contains("of another shape") && Contains("width ?"));
  }
  CHECK(formats->companions(wide, "bfl", "diffusers").empty());
}

TEST_CASE("diffusers gets its config where the tensors tell everything", "[flux]") {
  const auto formats = models::flux_weight_formats();
  const auto files = formats->companions(specs(kSchnell, "bfl"), "bfl", "diffusers");
  REQUIRE(files.contains("config.json"));
  CHECK_THAT(files.at("config.json"),
             Contains("\"num_layers\": 19") && Contains("\"num_single_layers\": 38") &&
                 Contains("\"num_attention_heads\": 24") && Contains("\"guidance_embeds\": false"));
  CHECK(formats->companions(specs(kSchnell, "bfl"), "bfl", "torchtitan").empty());
  CHECK(formats->companions(specs(kTiny, "bfl"), "bfl", "diffusers").empty());
}

}  // namespace
}  // namespace titan
