#include "tests/support/catch.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "titan/models/encoders/autoencoder_config.h"
#include "titan/models/encoders/autoencoder_table.h"

#include "tests/encoders/stored_tensors.h"

namespace titan {
namespace {

using Catch::Matchers::Contains;
using models::AutoencoderLayout;
using models::NetworkSizes;
using testing::named;
using testing::problem;
using testing::Tensors;

struct Shape {
  AutoencoderLayout layout;
  NetworkSizes sizes;
};
const Shape kFlux{{.levels = 4, .blocks = 2},
                  {{"in", 3},
                   {"out", 3},
                   {"ch", 128},
                   {"z", 16},
                   {"w0", 128},
                   {"w1", 256},
                   {"w2", 512},
                   {"w3", 512}}};
const Shape kSmall{{.levels = 2, .blocks = 1},
                   {{"in", 3}, {"out", 3}, {"ch", 32}, {"z", 4}, {"w0", 32}, {"w1", 64}}};

Tensors tensors_of(const Shape& shape, const std::string& format) {
  return specs_of(models::autoencoder_table(shape.layout, shape.sizes, format), shape.sizes);
}

std::set<std::string> names_of(const Tensors& tensors) {
  std::set<std::string> names;
  for (const TensorSpec& tensor : tensors) names.insert(tensor.name);
  return names;
}

TEST_CASE("The autoencoder's table holds the published tensors", "[encoders]") {
  for (const char* format : {"bfl", "diffusers"}) {
    const Tensors tensors = tensors_of(kFlux, format);
    CHECK(tensors.size() == 244);
    CHECK(names_of(tensors).size() == 244);
    int64_t elements = 0;
    for (const TensorSpec& tensor : tensors) {
      int64_t count = 1;
      for (const int64_t size : tensor.shape) count *= size;
      elements += count;
    }
    CHECK(elements == 83'819'683);
  }
  const std::set<std::string> bfl = names_of(tensors_of(kFlux, "bfl"));
  for (const char* name :
       {"encoder.down.1.block.0.nin_shortcut.weight", "encoder.down.2.block.0.nin_shortcut.bias",
        "decoder.up.1.block.0.nin_shortcut.weight", "decoder.up.0.block.2.conv2.weight",
        "decoder.up.3.upsample.conv.bias", "encoder.mid.attn_1.proj_out.weight"})
    CHECK(bfl.contains(name));
  CHECK(std::count_if(bfl.begin(), bfl.end(), [](const std::string& name) {
          return name.find("nin_shortcut.weight") != name.npos;
        }) == 4);
  const std::set<std::string> diffusers = names_of(tensors_of(kFlux, "diffusers"));
  for (const char* name :
       {"encoder.down_blocks.1.resnets.0.conv_shortcut.weight",
        "decoder.up_blocks.2.resnets.0.conv_shortcut.weight", "decoder.conv_norm_out.bias",
        "decoder.up_blocks.0.upsamplers.0.conv.weight", "encoder.mid_block.resnets.1.norm2.weight",
        "decoder.mid_block.attentions.0.group_norm.weight",
        "decoder.mid_block.attentions.0.to_out.0.bias"})
    CHECK(diffusers.contains(name));
}

TEST_CASE("An autoencoder's naming and sizes are found out", "[encoders]") {
  const auto formats = models::autoencoder_weight_formats();
  for (const std::string& format : formats->names()) {
    const Tensors stored = tensors_of(kFlux, format);
    CHECK(formats->detect(stored) == format);
    CHECK(formats->describe(stored, format) ==
          "4 levels of width 128, 256, 512, 512, 2 blocks each, 16 latent channels");
    const auto config = models::autoencoder_config_of(stored);
    REQUIRE(config.ok());
    CHECK(config->widths == models::AutoencoderConfig().widths);
    CHECK(config->blocks == 2);
    CHECK(config->ch == 128);
    CHECK(config->z_channels == 16);
    CHECK(config->in_channels == 3);
    CHECK(config->out_channels == 3);
  }
}

TEST_CASE("One naming becomes the other, level by level", "[encoders]") {
  const auto formats = models::autoencoder_weight_formats();
  const auto recipes = formats->recipes(tensors_of(kSmall, "diffusers"), "diffusers", "bfl");
  REQUIRE(recipes.ok());
  std::set<std::string> seen;
  for (const TensorRecipe& recipe : *recipes) {
    REQUIRE(recipe.parts.size() == 1);
    CHECK(recipe.parts[0].first == 0);
    CHECK(recipe.parts[0].count == recipe.tensor.shape[0]);
    seen.insert(recipe.tensor.name);
    if (recipe.tensor.name == "decoder.up.1.block.1.conv1.weight")
      CHECK(recipe.parts[0].tensor == "decoder.up_blocks.0.resnets.1.conv1.weight");
    if (recipe.tensor.name == "encoder.mid.attn_1.v.weight") {
      CHECK(recipe.parts[0].tensor == "encoder.mid_block.attentions.0.to_v.weight");
      CHECK(recipe.tensor.shape == std::vector<int64_t>{64, 64, 1, 1});
    }
  }
  CHECK(seen == names_of(tensors_of(kSmall, "bfl")));
}

TEST_CASE("What does not fit an autoencoder is named", "[encoders]") {
  const auto formats = models::autoencoder_weight_formats();
  Tensors stored = tensors_of(kSmall, "bfl");
  named(stored, "decoder.up.0.block.0.nin_shortcut.weight").name =
      "decoder.up.0.block.0.nin.weight";
  named(stored, "encoder.mid.attn_1.q.weight").shape = {64, 64};
  stored.push_back({"quant_conv.weight", TensorType::kF32, {8, 8, 1, 1}});
  const std::string message = problem(*formats, stored);
  CHECK_THAT(message,
             Contains("an autoencoder in bfl's names (2 levels of width 32, 64, 1 blocks"));
  CHECK_THAT(message, Contains("1 missing: decoder.up.0.block.0.nin_shortcut.weight"));
  CHECK_THAT(message, Contains("attn_1.q.weight is [64, 64], not [64, 64, 1, 1]"));
  CHECK_THAT(message, Contains("2 unknown") && Contains("quant_conv.weight"));
  CHECK_FALSE(models::autoencoder_config_of(stored).ok());
  const auto other = models::autoencoder_config_of({{"img_in.weight", TensorType::kF32, {8, 8}}});
  CHECK_THAT(message_of(other.status()), Contains("none of an autoencoder's (known: bfl, diffusers)"
                                                  "; the first are img_in.weight"));
  CHECK_FALSE(models::autoencoder_config_of({}).ok());
}

TEST_CASE("An autoencoder deeper than any image is refused", "[encoders]") {
  Shape deep{{.levels = 17, .blocks = 1}, {{"in", 3}, {"out", 3}, {"ch", 32}, {"z", 4}}};
  for (int64_t level = 0; level < deep.layout.levels; ++level)
    deep.sizes[models::width_symbol(level)] = 32;
  const auto config = models::autoencoder_config_of(tensors_of(deep, "bfl"));
  CHECK_THAT(message_of(config.status()), Contains("up to 16 levels (here: 17)"));
}

}  // namespace
}  // namespace titan
