#include "titan/models/flux/text_cache.h"

#include <filesystem>
#include <fstream>

#include <torch/types.h>

#include "titan/models/builtin.h"
#include "titan/models/flux/encoder.h"
#include "titan/tools/make_encoders.h"
#include "titan/train/model_setup.h"
#include "titan/train/run_encoder.h"

#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace titan;

TEST_CASE("The captions used last are kept, others encoded again", "[flux]") {
  models::TextCache cache(2);
  int encoded = 0;
  const auto encode = [&](const std::string& text) {
    ++encoded;
    NamedTensors fields;
    fields.set("length", at::full({1}, static_cast<int64_t>(text.size()), at::kLong));
    return fields;
  };
  const auto length = [&](const std::string& text) {
    return cache.of(text, encode).get("length").item<int64_t>();
  };
  REQUIRE(length("a") == 1);
  REQUIRE(length("bb") == 2);
  REQUIRE(length("a") == 1);
  REQUIRE(encoded == 2);
  REQUIRE(length("ccc") == 3);  // "bb" was used longest ago
  REQUIRE(length("a") == 1);
  REQUIRE(encoded == 3);
  REQUIRE(length("bb") == 2);
  REQUIRE(encoded == 4);
  REQUIRE(cache.size() == 2);
}

TEST_CASE("Kept encodings are those of each caption alone, whatever stands beside it", "[flux]") {
  const testing::TemporaryFolder folder;
  std::ofstream(folder.path() / "captions.txt")
      << "a red circle\none yellow star\nthere is a ring\nthe square, green\n";
  REQUIRE(make_encoders(
              {.output_folder = folder.file("encoders"), .captions = folder.file("captions.txt")})
              .ok());
  JobConfig config;
  config.model.name = "flux";
  config.encoder.t5_encoder = folder.file("encoders/t5");
  config.encoder.clip_encoder = folder.file("encoders/clip");
  config.encoder.max_t5_encoding_len = 12;
  clear_models();
  REQUIRE(models::register_builtin_models().ok());
  const ModelSpec spec = complete_spec(config).value();
  const auto open = [&](int64_t keep) {
    config.encoder.keep_texts = keep;
    return RunEncoder::open_alone(config, spec, at::kCPU).value();
  };
  const auto keeping = open(8), forgetting = open(0);
  const std::vector<std::string> batch = {"one yellow star", "a red circle", "one yellow star"};
  const NamedTensors first = keeping->encoder().encode_text(batch),
                     again =
                         keeping->encoder().encode_text({"a red circle", "", "one yellow star"}),
                     plain = forgetting->encoder().encode_text(batch);
  for (const char* field : {"t5_encodings", "clip_encodings"}) {
    REQUIRE(first.get(field).sizes() == plain.get(field).sizes());
    REQUIRE(at::allclose(first.get(field), plain.get(field), 1e-5, 1e-6));
    REQUIRE(at::equal(first.get(field)[0], first.get(field)[2]));
    REQUIRE(at::equal(first.get(field)[0], again.get(field)[2]));
    REQUIRE(at::equal(first.get(field)[1], again.get(field)[0]));
    REQUIRE_FALSE(at::equal(again.get(field)[1], again.get(field)[0]));
  }
}
