#include "titan/checkpoint/checkpoint_index.h"

#include <nlohmann/json.hpp>

#include "tests/support/catch.h"
#include "titan/base/hash.h"

namespace titan::checkpoint {
namespace {

CheckpointIndex example() {
  CheckpointIndex index;
  index.meta = {.step = 100,
                .cursor = 3200,
                .seed = ~uint64_t{0},
                .world_size = 2,
                .fingerprints = {{"model", "x\"y"}}};
  index.files = {{"a.safetensors", {100, "00"}}, {"b.safetensors", {200, "11"}}};
  index.tensors["model.w"] = {
      "F32", {4, 5}, {{"a.safetensors", "model.w", 0, 12}, {"b.safetensors", "model.w@12", 12, 8}}};
  index.tensors["model.scalar"] = {"F32", {}, {{"a.safetensors", "model.scalar", 0, 1}}};
  return index;
}

/// The text with one part replaced and a checksum that fits again.
std::string forged(const std::string& json_pointer, const nlohmann::json& value) {
  nlohmann::json json = nlohmann::json::parse(to_json(example()));
  json[nlohmann::json::json_pointer(json_pointer)] = value;
  json.erase("index_xxh3_128");
  const std::string text = json.dump();
  json["index_xxh3_128"] = xxh3_128_hex(text.data(), text.size());
  return json.dump();
}

}  // namespace

TEST_CASE("An index survives the way through JSON", "[checkpoint]") {
  const auto index = index_from_json(to_json(example()), "index.json");
  REQUIRE(index.ok());
  REQUIRE(index->meta.seed == ~uint64_t{0});
  REQUIRE(index->meta.cursor == 3200);
  REQUIRE(index->meta.fingerprints.at("model") == "x\"y");
  REQUIRE(index->tensors.at("model.w").fragments[1].tensor == "model.w@12");
  REQUIRE(to_json(*index) == to_json(example()));
}

TEST_CASE("Any changed byte of an index is noticed", "[checkpoint]") {
  const std::string text = to_json(example());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (std::isspace(static_cast<unsigned char>(text[i])) != 0) continue;
    std::string damaged = text;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    CAPTURE(i, damaged);
    REQUIRE_FALSE(index_from_json(damaged, "index.json").ok());
  }
  for (const std::size_t size : {std::size_t{0}, text.size() / 2, text.size() - 3}) {
    const auto torn = index_from_json(text.substr(0, size), "run/index.json");
    REQUIRE(message_of(torn.status()).find("run/index.json is damaged") != std::string::npos);
    REQUIRE(exit_code_for(torn.status()) == 2);
  }
}

TEST_CASE("An index that contradicts itself is refused", "[checkpoint]") {
  REQUIRE(index_from_json(forged("/step", 100), "i").ok());  // the forgery itself works
  REQUIRE_FALSE(
      index_from_json(forged("/tensors/model.w/fragments/1/offset", 11), "i").ok());  // overlap
  REQUIRE_FALSE(
      index_from_json(forged("/tensors/model.w/fragments/1/length", 9), "i").ok());  // past the end
  REQUIRE_FALSE(index_from_json(forged("/tensors/model.w/fragments/0/length", -1), "i").ok());
  REQUIRE_FALSE(index_from_json(forged("/tensors/model.w/fragments/0/file", "c"), "i").ok());
  REQUIRE_FALSE(
      index_from_json(forged("/tensors/model.w/shape/0", int64_t{1} << 62), "i").ok());  // overflow
  REQUIRE_FALSE(index_from_json(forged("/tensors/model.w/shape/0", "four"), "i").ok());
  REQUIRE_FALSE(index_from_json(
                    forged("/tensors/model.w/shape", {0, int64_t{1} << 40, int64_t{1} << 40}), "i")
                    .ok());  // overflow beside a zero
  REQUIRE_FALSE(
      index_from_json(forged("/files/..~1secret", {{"bytes", 1}, {"xxh3_128", ""}}), "i").ok());
  REQUIRE_FALSE(index_from_json(forged("/format", "other"), "i").ok());
  const auto newer = index_from_json(forged("/version", 2), "i");
  REQUIRE(message_of(newer.status()).find("written by a newer titan") != std::string::npos);
}

TEST_CASE("An index that is nested without end is damaged, whatever its depth", "[checkpoint]") {
  for (const std::size_t depth : {std::size_t{100}, std::size_t{2'000'000}}) {
    const std::string deep =
        R"({"format":"titan-checkpoint","version":1,"index_xxh3_128":"","x":)" +
        std::string(depth, '[') + std::string(depth, ']') + "}";
    REQUIRE_THAT(message_of(index_from_json(deep, "i").status()),
                 Catch::Matchers::Contains("i is damaged"));
  }
}

TEST_CASE("Ranks' indices merge; contradictions do not", "[checkpoint]") {
  CheckpointIndex a = example();
  CheckpointIndex b;
  b.files = {{"c.safetensors", {5, "22"}}};
  b.tensors["model.other"] = {"F32", {2}, {{"c.safetensors", "model.other", 0, 2}}};
  REQUIRE(a.merge(b).ok());
  REQUIRE(a.normalize().ok());
  REQUIRE(a.tensors.size() == 3);
  REQUIRE_FALSE(a.merge(b).ok());  // the same file twice
  CheckpointIndex c;
  c.tensors["model.w"] = {"F32", {20}, {}};
  REQUIRE_FALSE(a.merge(c).ok());  // another shape
}

}  // namespace titan::checkpoint
