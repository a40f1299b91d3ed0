#include "tests/support/catch.h"

#include <cstring>

#include "tests/support/temporary_folder.h"
#include "titan/io/safetensors_set.h"
#include "titan/io/shard_index.h"
#include "titan/io/shard_writer.h"

namespace titan {
namespace {

using Catch::Matchers::Contains;
using testing::slurp;
using testing::TemporaryFolder;

std::string reason(const std::string& index) {
  const auto parsed = parse_shard_index(index);
  return parsed.ok() ? "" : message_of(parsed.status());
}

/// A safetensors file of one-byte tensors with these names.
std::string small_file(const std::vector<std::string>& names) {
  std::string header = "{";
  for (std::size_t i = 0; i < names.size(); ++i)
    header += str_cat(i == 0 ? "" : ",", "\"", names[i],
                      R"(":{"dtype":"U8","shape":[1],"data_offsets":[)", i, ",", i + 1, "]}");
  header += "}";
  std::string bytes(8, '\0');
  bytes[0] = static_cast<char>(header.size() & 255);
  bytes[1] = static_cast<char>(header.size() >> 8);
  return bytes + header + std::string(names.size(), 'x');
}

std::string refused(const std::string& path) {
  const auto set = SafetensorsSet::open(path);
  return set.ok() ? "" : message_of(set.status());
}

TEST_CASE("An index is checked before it is believed", "[io]") {
  CHECK(
      reason(
          R"({"metadata":{"total_size":1,"x":[1,{"y":null}]},"weight_map":{"a":"m.safetensors"}})")
          .empty());
  CHECK_THAT(reason(""), Contains("begin with '{'"));
  CHECK_THAT(reason("[]"), Contains("begin with '{'"));
  CHECK_THAT(reason("{}"), Contains("no weight_map"));
  CHECK_THAT(reason(R"({"weight_map":{}})"), Contains("is empty"));
  CHECK_THAT(reason(R"({"weight_map":{"a":"m.safetensors")"), Contains("not valid JSON"));
  CHECK_THAT(reason(R"({"weight_map":{"a":1}})"), Contains("no file name"));
  CHECK_THAT(reason(R"({"weight_map":{"a":["m.safetensors"]}})"), Contains("a list"));
  CHECK_THAT(reason(R"({"weight_map":{"a":{"b":"m.safetensors"}}})"), Contains("an object"));
  CHECK_THAT(reason(R"({"weight_map":"m.safetensors"})"), Contains("weight map belongs"));
  CHECK_THAT(reason(R"({"weight_map":{"a":"m.safetensors","a":"n.safetensors"}})"),
             Contains("twice"));
  CHECK_THAT(reason(R"({"weight_map":{"a":"m.safetensors"},"weight_map":{"b":"m.safetensors"}})"),
             Contains("two weight maps"));
  for (const char* name :
       {"../m.safetensors", "/etc/m.safetensors", "x/m.safetensors", ".safetensors",
        "..safetensors", "m.bin", "m\\\\x.safetensors", "m\\u0000.safetensors", ""})
    CHECK_THAT(reason(str_cat(R"({"weight_map":{"a":")", name, "\"}}")), Contains("plain"));
  std::string deep = R"({"metadata":)";
  for (int i = 0; i < 100'000; ++i) deep += "{\"a\":";
  CHECK_THAT(reason(deep), Contains("too deep"));
  CHECK_THAT(reason(R"({"metadata":)" + std::string(100'000, '[')), Contains("too many lists"));
}

TEST_CASE("Shards are one set of tensors; contradictions with the index are named", "[io]") {
  const TemporaryFolder folder;
  folder.write("m-1.safetensors", small_file({"a", "b"}));
  folder.write("m-2.safetensors", small_file({"c"}));
  const auto index = [&](const std::string& map) {
    return folder.write("m.safetensors.index.json", R"({"weight_map":{)" + map + "}}");
  };
  const std::string right = R"("a":"m-1.safetensors","b":"m-1.safetensors","c":"m-2.safetensors")";
  index(right);
  for (const std::string& path : {folder.path().string(), folder / "m.safetensors.index.json"}) {
    const auto set = SafetensorsSet::open(path);
    REQUIRE(set.ok());
    CHECK(set->tensors().size() == 3);
    REQUIRE(set->find("c") != nullptr);
    CHECK(set->find("c")->size_bytes == 1);
    CHECK(set->find("d") == nullptr);
  }
  CHECK_THAT(refused(index(right + R"(,"d":"m-2.safetensors")")),
             Contains("not where it says: d in m-2.safetensors"));
  CHECK_THAT(refused(index(R"("a":"m-1.safetensors","c":"m-2.safetensors")")),
             Contains("does not list: b in m-1.safetensors"));
  CHECK_THAT(refused(index(R"("a":"m-1.safetensors","b":"m-2.safetensors","c":"m-2.safetensors")")),
             Contains("another file than listed: b in m-1.safetensors") &&
                 Contains("not where it says: b in m-2.safetensors"));
  CHECK_THAT(refused(index(right + R"(,"d":"m-3.safetensors","e":"m-4.safetensors")")),
             Contains("missing") && Contains("m-3.safetensors, m-4.safetensors"));
  // A shard is checked as any file is.
  folder.write("m-2.safetensors", small_file({"c"}).substr(0, 20));
  CHECK_THAT(refused(index(right)), Contains("m-2.safetensors") && Contains("does not fit"));
}

TEST_CASE("A folder means its one index or its one file", "[io]") {
  const TemporaryFolder folder;
  CHECK_THAT(refused(folder / "absent"), Contains("does not exist"));
  CHECK_THAT(refused(folder.path().string()), Contains("no .safetensors file"));
  folder.write("pipe/transformer/diffusion_pytorch_model.safetensors", small_file({"a"}));
  CHECK(refused(folder / "pipe").empty());
  folder.write("two/x.safetensors", small_file({"a"}));
  CHECK(refused(folder / "two").empty());
  folder.write("two/y.safetensors", small_file({"b"}));
  CHECK_THAT(refused(folder / "two"), Contains("several files without an index") &&
                                          Contains("x.safetensors, y.safetensors"));
}

TEST_CASE("Shards are planned by size and read back bit for bit", "[io]") {
  const TemporaryFolder folder;
  std::vector<TensorSpec> tensors;
  std::string bytes;
  for (int i = 0; i < 9; ++i) {
    const int64_t length = i == 4 ? 100 : i == 6 ? 0 : 7 + i;
    tensors.push_back({str_cat("t", i), TensorType::kU8, {length}});
    for (int64_t k = 0; k < length; ++k) bytes += static_cast<char>(31 * i + k);
  }
  const auto written = [&](std::uint64_t max_bytes, std::size_t piece) {
    const std::string place = folder / str_cat("of", max_bytes);
    std::filesystem::create_directories(place);
    auto plan = plan_shards(place, "model", tensors, max_bytes);
    REQUIRE(plan.ok());
    const std::size_t shards = plan->shards.size();
    CHECK(plan->total_bytes == bytes.size());
    auto writer = ShardWriter::create(std::move(*plan), {{"format", "pt"}});
    REQUIRE(writer.ok());
    for (std::size_t at = 0; at < bytes.size(); at += piece)
      REQUIRE((*writer)->write(bytes.data() + at, std::min(piece, bytes.size() - at)).ok());
    REQUIRE((*writer)->finish().ok());
    const auto set = SafetensorsSet::open(place);
    INFO((set.ok() ? "" : message_of(set.status())));
    REQUIRE(set.ok());
    std::string back;
    for (const TensorSpec& tensor : tensors) {
      const TensorEntry* entry = set->find(tensor.name);
      REQUIRE(entry != nullptr);
      CHECK(entry->shape == tensor.shape);
      back.append(reinterpret_cast<const char*>(entry->data), entry->size_bytes);
      set->release(*entry, 0, entry->size_bytes);
      CHECK(std::memcmp(entry->data, back.data() + back.size() - entry->size_bytes,
                        entry->size_bytes) == 0);  // released pages read the same
    }
    CHECK(back == bytes);
    return shards;
  };
  CHECK(written(1 << 20, 13) == 1);
  CHECK(std::filesystem::exists(folder / "of1048576/model.safetensors"));
  CHECK(written(20, 64) > 3);
  CHECK(std::filesystem::exists(folder / "of20/model.safetensors.index.json"));
  CHECK(written(1, 1) == 8);  // the empty tensor shares a file
}

}  // namespace
}  // namespace titan
