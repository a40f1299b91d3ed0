#include "titan/io/safetensors.h"

#include <cstring>
#include <limits>
#include <random>

#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "titan/io/safetensors_header.h"

namespace titan {
namespace {

using Catch::Matchers::Contains;
using testing::slurp;
using testing::TemporaryFolder;

std::string file_of(const std::string& header, const std::string& data) {
  std::string bytes(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, 8);  // the test machine is little-endian, as the format
  return bytes + header + data;
}

std::string message_for(const std::string& header, const std::string& data) {
  const TemporaryFolder folder;
  const StatusOr<SafetensorsFile> file =
      SafetensorsFile::open(folder.write("x.safetensors", file_of(header, data)));
  return file.ok() ? "" : message_of(file.status());
}

TEST_CASE("A written safetensors file reads back, every type", "[io]") {
  const TemporaryFolder folder;
  const std::string path = folder.file("all.safetensors");
  std::vector<TensorSpec> specs;
  std::string data;
  for (int i = 0; i <= static_cast<int>(TensorType::kF8E5M2); ++i) {
    const auto type = static_cast<TensorType>(i);
    specs.push_back({.name = "t." + name_of(type), .type = type, .shape = {3, 2}});
    data += std::string(6 * element_size(type), static_cast<char>('a' + i));
    CHECK(*tensor_type_from_name(name_of(type)) == type);
  }
  specs.push_back({.name = "scalar \"quoted\" \u00e9", .type = TensorType::kI64, .shape = {}});
  data += "12345678";
  specs.push_back({.name = "none", .type = TensorType::kF32, .shape = {4, 0}});

  auto writer = SafetensorsWriter::create(path, specs, {{"format", "pt"}, {"note", "a\nb"}});
  REQUIRE(writer.ok());
  CHECK((*writer)->remaining_bytes() == data.size());
  // Pieces that do not end where tensors end.
  for (std::size_t at = 0; at < data.size(); at += 7)
    REQUIRE((*writer)->write(data.data() + at, std::min<std::size_t>(7, data.size() - at)).ok());
  const StatusOr<std::string> hash = (*writer)->finish();
  REQUIRE(hash.ok());
  const std::string bytes = slurp(path);
  CHECK(*hash == xxh3_128_hex(bytes.data(), bytes.size()));

  const StatusOr<SafetensorsFile> file = SafetensorsFile::open(path);
  REQUIRE(file.ok());
  CHECK(file->metadata().at("note") == "a\nb");
  REQUIRE(file->entries().size() == specs.size());
  std::string read;
  for (const TensorSpec& spec : specs) {
    const TensorEntry* entry = file->find(spec.name);
    REQUIRE(entry != nullptr);
    CHECK(entry->type == spec.type);
    CHECK(entry->shape == spec.shape);
    read.append(reinterpret_cast<const char*>(entry->data), entry->size_bytes);
  }
  CHECK(read == data);
  CHECK(file->entries().front().offset % 8 == 0);
  CHECK(file->find("absent") == nullptr);
}

TEST_CASE("SafetensorsWriter refuses what the header did not announce", "[io]") {
  const TemporaryFolder folder;
  const std::string path = folder.file("x.safetensors");
  const std::vector<TensorSpec> specs = {{.name = "a", .type = TensorType::kU8, .shape = {4}}};
  auto writer = *SafetensorsWriter::create(path, specs);
  REQUIRE_THROWS_WITH(writer->write("12345", 5), Contains("more bytes"));
  REQUIRE(writer->write("12", 2).ok());
  REQUIRE_THROWS_WITH(writer->finish(), Contains("missing 2"));
  writer.reset();
  CHECK_FALSE(std::filesystem::exists(path));

  CHECK_THAT(message_of(SafetensorsWriter::create(path, {specs[0], specs[0]}).status()),
             Contains("twice"));
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  CHECK_THAT(
      message_of(SafetensorsWriter::create(path, {{.name = "b", .shape = {kHuge, 3}}}).status()),
      Contains("overflow"));
  CHECK_THAT(message_of(SafetensorsWriter::create(path, {{.name = "b", .shape = {-1}}}).status()),
             Contains("negative"));
  CHECK_THAT(
      message_of(SafetensorsWriter::create(path, {{.name = "b", .shape = {kHuge, 3, 0}}}).status()),
      Contains("overflow"));
  CHECK(SafetensorsWriter::create(path, {{.name = "b", .shape = {0, kHuge / 4}}}).ok());
}

TEST_CASE("A hostile safetensors header is refused with its reason", "[io]") {
  const std::string good = R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})";
  CHECK(message_for(good, "xy").empty());
  CHECK(message_for(good + "   ", "xy").empty());
  CHECK(message_for("{}", "").empty());

  const auto tensor = [](const std::string& body) { return R"({"a":{)" + body + "}}"; };
  CHECK_THAT(message_for(good, "x"), Contains("do not lie in the 1 bytes"));
  CHECK_THAT(message_for(good, "xyz"), Contains("end at byte 2"));
  CHECK_THAT(message_for("[]", ""), Contains("begin with '{'"));
  CHECK_THAT(message_for("{\"a\":", ""), Contains("not valid JSON"));
  CHECK_THAT(message_for(tensor(R"("dtype":"U8","shape":[2])"), "xy"), Contains("lacks"));
  CHECK_THAT(message_for(tensor(R"("dtype":"U7","shape":[2],"data_offsets":[0,2])"), "xy"),
             Contains("unknown dtype 'U7'"));
  CHECK_THAT(message_for(tensor(R"("dtype":"U8","shape":[3],"data_offsets":[0,2])"), "xy"),
             Contains("need 3"));
  CHECK_THAT(message_for(tensor(R"("dtype":"U8","shape":[-2],"data_offsets":[0,2])"), "xy"),
             Contains("negative"));
  CHECK_THAT(message_for(tensor(R"("dtype":"U8","shape":[2.0],"data_offsets":[0,2])"), "xy"),
             Contains("not an integer"));
  CHECK_THAT(message_for(tensor(R"("dtype":"U8","shape":[1e400],"data_offsets":[0,2])"), "xy"),
             Contains("header"));
  CHECK_THAT(message_for(tensor(R"("dtype":"U8","shape":[2],"data_offsets":[2,0])"), "xy"),
             Contains("do not lie"));
  CHECK_THAT(message_for(tensor(R"("dtype":"U8","shape":[2],"data_offsets":[0,2,2])"), "xy"),
             Contains("two numbers"));
  CHECK_THAT(message_for(tensor(R"("dtype":"U8","shape":[2],"data_offsets":[0,2],"x":1)"), "xy"),
             Contains("unknown field"));
  CHECK_THAT(
      message_for(tensor(R"("dtype":"U8","dtype":"U8","shape":[2],"data_offsets":[0,2])"), "xy"),
      Contains("twice"));
  CHECK_THAT(
      message_for(tensor(R"("dtype":"F64","shape":[4294967296,4294967296],"data_offsets":[0,0])"),
                  ""),
      Contains("overflow"));
  // An empty tensor whose other sizes overflow would make a row of it undefined.
  CHECK_THAT(
      message_for(tensor(R"("dtype":"U8","shape":[0,4294967296,4294967296],"data_offsets":[0,0])"),
                  ""),
      Contains("overflow"));
  CHECK(message_for(tensor(R"("dtype":"U8","shape":[0,4294967296],"data_offsets":[0,0])"), "")
            .empty());
  CHECK_THAT(message_for(R"({"a\u001b[2J\nb":1})", ""), Contains("at 'a?[2J?b'"));
  CHECK_THAT(
      message_for(tensor(R"("dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,2])"),
                  "xy"),
      Contains("2^63"));
  CHECK_THAT(
      message_for(
          R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
          "xy"),
      Contains("twice"));
  CHECK_THAT(
      message_for(
          R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
          "xy"),
      Contains("overlap"));
  CHECK_THAT(message_for(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", "xy"),
             Contains("gap"));
  CHECK_THAT(message_for(tensor(R"("dtype":{})"), ""), Contains("an object where none belongs"));
  CHECK_THAT(message_for("{\"a\":" + std::string(100'000, '['), ""),
             Contains("a list where none belongs"));
  CHECK_THAT(message_for(R"({"__metadata__":{"a":1}})", ""),
             Contains("a number where none belongs"));
}

TEST_CASE("A safetensors file with an impossible header length is refused", "[io]") {
  const TemporaryFolder folder;
  const auto message = [&](const std::string& bytes) {
    return message_of(SafetensorsFile::open(folder.write("x", bytes)).status());
  };
  CHECK_THAT(message(""), Contains("too short"));
  CHECK_THAT(message(std::string(8, '\xff')), Contains("does not fit"));
  CHECK_THAT(message(std::string("\x10\0\0\0\0\0\0\0{}", 10)), Contains("does not fit"));
  CHECK_THAT(message(std::string(8, '\0')), Contains("begin with '{'"));
}

TEST_CASE("Mutated safetensors headers never crash the reader", "[io]") {
  const std::string header =
      R"({"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}})";
  std::mt19937 random(7);  // NOLINT: a fixed seed keeps a failure repeatable
  int accepted = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string mutated = header;
    const unsigned edits = 1 + random() % 4;
    for (unsigned i = 0; i < edits && !mutated.empty(); ++i) {
      const std::size_t at = random() % mutated.size();
      switch (random() % 4) {
        case 0:
          mutated[at] = static_cast<char>(random());
          break;
        case 1:
          mutated.erase(at, 1 + random() % 8);
          break;
        case 2:
          mutated.insert(at, mutated.substr(random() % mutated.size(), random() % 20));
          break;
        default:
          mutated[at] = "{}[]\":,0129"[random() % 11];
      }
    }
    const StatusOr<SafetensorsHeader> parsed =
        parse_safetensors_header(mutated.data(), mutated.size(), 11);
    if (!parsed.ok()) continue;
    ++accepted;
    for (const TensorEntry& entry : parsed->entries) REQUIRE(entry.offset + entry.size_bytes <= 11);
  }
  CHECK(accepted > 0);  // some edits only rename: the mutations are not all noise
}

}  // namespace
}  // namespace titan
