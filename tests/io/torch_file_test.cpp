#include "titan/io/torch_file.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <nlohmann/json.hpp>

#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "titan/io/torch_set.h"
#include "titan/io/weight_files.h"

namespace titan {
namespace {

using Catch::Matchers::Contains;
using testing::slurp;
using testing::TemporaryFolder;
using Json = nlohmann::json;

/// Written by scripts/make_torch_files.py with PyTorch.
const std::string kFolder = "tests/golden/torch_files/";

Json expected() { return Json::parse(slurp(kFolder + "expected.json")); }

std::string bytes_of_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

std::span<const std::byte> as_span(const std::string& bytes) {
  return std::as_bytes(std::span(bytes.data(), bytes.size()));
}

/// The tensor's elements [first, first + count).
std::string part(const TorchSet& set, const TensorSpec& spec, std::uint64_t first,
                 std::uint64_t count) {
  std::string out(count * element_size(spec.type), '?');
  set.read(spec.name, first, count, out.data());
  return out;
}

TEST_CASE("Every tensor of torch.save is read as PyTorch reads it", "[io]") {
  const Json files = expected()["files"];
  REQUIRE(files.size() >= 7);
  for (const auto& [name, tensors] : files.items()) {
    const auto set = TorchSet::open(kFolder + name);
    INFO(name << " " << (set.ok() ? "" : message_of(set.status())));
    REQUIRE(set.ok());
    CHECK(set->tensors().size() == tensors.size());
    for (const TensorSpec& spec : set->tensors()) {
      INFO(spec.name);
      REQUIRE(tensors.contains(spec.name));
      const Json& truth = tensors[spec.name];
      CHECK(name_of(spec.type) == truth["dtype"]);
      CHECK(spec.shape == truth["shape"].get<std::vector<int64_t>>());
      const std::string bytes = bytes_of_hex(truth["hex"]);
      const std::size_t width = element_size(spec.type);
      const std::uint64_t count = bytes.size() / width;
      CHECK(part(*set, spec, 0, count) == bytes);
      for (std::uint64_t first = 0; first < count; ++first)  // any part, whatever the strides
        for (const std::uint64_t length :
             {std::uint64_t{1}, (count - first + 1) / 2, count - first})
          REQUIRE(part(*set, spec, first, length) == bytes.substr(first * width, length * width));
    }
  }
}

TEST_CASE("A file that asks for anything but tensors is refused, and nothing is run", "[io]") {
  const Json hostile = expected()["hostile"];
  REQUIRE(hostile.size() >= 15);
  for (const auto& [name, asks] : hostile.items()) {
    const auto set = TorchSet::open(kFolder + "hostile/" + name);
    INFO(name);
    REQUIRE_FALSE(set.ok());
    const std::string message = message_of(set.status());
    INFO(message);
    CHECK_THAT(message, Contains(asks.get<std::string>()) && Contains("hostile/" + name));
    const bool is_call = asks.get<std::string>().find("posix") != std::string::npos;
    if (is_call) CHECK_THAT(message, Contains("nothing was run"));
    CHECK(exit_code_for(set.status()) == 2);
  }
  CHECK_FALSE(std::filesystem::exists("titan_pickle_ran"));
}

/// Opens damaged bytes; what still opens is read whole. Returns whether it did.
bool opens(const std::string& bytes) {
  const auto entries = read_torch_entries(as_span(bytes));
  if (!entries.ok()) {
    CHECK_FALSE(entries.status().message().empty());
    return false;
  }
  for (const TorchEntry& entry : *entries) {
    const std::size_t size = entry.tensor.count * element_size(entry.tensor.type);
    REQUIRE(size <= (16U << 20));
    std::vector<std::byte> out(size);
    read_torch_elements(as_span(bytes), entry, 0, entry.tensor.count, out.data());
  }
  return true;
}

TEST_CASE("Files that were cut short are refused wherever they end", "[io]") {
  for (const char* name : {"zip.pt", "legacy.bin", "nested.pth", "legacy_protocol4.bin"}) {
    const std::string whole = slurp(kFolder + name);
    REQUIRE(opens(whole));
    int refused = 0, tried = 0;
    for (std::size_t size = 0; size < whole.size(); size += size < 2000 ? 1 : 97, ++tried)
      if (!opens(whole.substr(0, size))) ++refused;
    CHECK(refused == tried);
    INFO(name);
    CHECK_FALSE(opens(whole.substr(0, whole.size() - 1)));
  }
}

TEST_CASE("Flipped bytes are refused or change values only", "[io]") {
  for (const char* name : {"zip.pt", "legacy.bin", "nested.pth", "legacy_protocol4.bin"}) {
    const std::string whole = slurp(kFolder + name);
    int refused = 0;
    for (std::size_t at = 0; at < whole.size(); ++at)
      for (const int flip : {0xFF, 0x01, 0x80}) {
        std::string damaged = whole;
        damaged[at] = static_cast<char>(damaged[at] ^ flip);
        if (!opens(damaged)) ++refused;
      }
    INFO(name);
    CHECK(refused > 100);
  }
}

std::string reason(const std::string& bytes) {
  const auto entries = read_torch_entries(as_span(bytes));
  return entries.ok() ? "" : message_of(entries.status());
}

/// A legacy file with this object and no storages.
std::string legacy(const std::string& object) {
  using namespace std::string_literals;
  return "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}."s +
         object + "\x80\x02]."s;
}

TEST_CASE("Files of Python 2 are read", "[io]") {
  using namespace std::string_literals;  // short strings (U), and a dictionary made of pairs
  const std::string tensor =
      "ctorch._utils\n_rebuild_tensor\n((U\7storagectorch\nFloatStorage\nU\1"s +
      "0U\3cpuK\4NtQK\1K\2K\1\x86K\2K\1\x86tR"s;  // [2, 1] from element 1, stride 2
  std::string file = legacy(
      "\x80\x02"
      "ccollections\nOrderedDict\n](](U\1w"s +
      tensor + "ee\x85R."s);
  file.replace(file.size() - 4, 4,
               "\x80\x02]U\1"
               "0a."s);
  const float values[] = {1, 2, 3, 4};
  file += "\4\0\0\0\0\0\0\0"s + std::string(reinterpret_cast<const char*>(values), sizeof values);
  const TemporaryFolder folder;
  const auto set = TorchSet::open(folder.write("old.pth", file));
  INFO((set.ok() ? "" : message_of(set.status())));
  REQUIRE(set.ok());
  REQUIRE(set->tensors().size() == 1);
  CHECK(set->tensors()[0].name == "w");
  CHECK(set->tensors()[0].shape == std::vector<int64_t>{2, 1});
  float read[2] = {};
  set->read("w", 0, 2, read);
  CHECK(read[0] == 2);
  CHECK(read[1] == 4);
}

TEST_CASE("Hostile shapes, strides and pickles are bounded", "[io]") {
  using namespace std::string_literals;
  const auto tensor = [](const std::string& shape, const std::string& stride,
                         const std::string& offset = "K\0"s, const std::string& count = "K\4"s) {
    return legacy(
        "\x80\x02}X\1\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\n"s +
        "FloatStorage\nX\1\0\0\0000X\3\0\0\0cpu"s + count + "tQ"s + offset + shape + stride +
        "\x89}tRs."s);
  };
  const std::string huge = "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"s;
  const std::string negative = "J\xff\xff\xff\xff"s;
  CHECK_THAT(reason(tensor("K\4\x85"s, "K\1\x85"s)), Contains("its storage is not in the file"));
  CHECK_THAT(reason(tensor("K\5\x85"s, "K\1\x85"s)), Contains("leaves its storage"));
  CHECK_THAT(reason(tensor("K\2\x85"s, "K\4\x85"s)), Contains("leaves its storage"));
  CHECK_THAT(reason(tensor("K\4\x85"s, "K\1\x85"s, "K\1"s)), Contains("leaves its storage"));
  CHECK_THAT(reason(tensor("K\4\x85"s, "K\1\x85"s, huge)), Contains("leaves its storage"));
  CHECK_THAT(reason(tensor("K\4K\4\x86"s, "K\1\x85"s)), Contains("different lengths"));
  CHECK_THAT(reason(tensor(negative + "\x85"s, "K\1\x85"s)), Contains("negative"));
  CHECK_THAT(reason(tensor("K\4\x85"s, negative + "\x85"s)), Contains("negative"));
  CHECK_THAT(reason(tensor(huge + huge + "\x86"s, "K\1K\1\x86"s)), Contains("overflows"));
  CHECK_THAT(reason(tensor(huge + "\x85"s, huge + "\x85"s)), Contains("overflows"));
  CHECK_THAT(reason(tensor("J\0\0\0\x7f\x85"s, "K\0\x85"s)), Contains("repeats few values"));
  CHECK_THAT(reason(tensor("N"s, "K\1\x85"s)), Contains("a shape that is none"));
  CHECK_THAT(reason(tensor("("s + std::string(200, 'N') + "t"s, ")"s)), Contains("a shape"));

  CHECK_THAT(reason(legacy("\x80\x02"s + std::string(3'000'000, ']'))),
             Contains("more than 2000000 values"));
  CHECK_THAT(reason(legacy("\x80\x02]"s + std::string(9'000'000, '2'))), Contains("more than"));
  CHECK_THAT(reason(legacy("\x80\x02"s + std::string(9'000'000, '('))), Contains("too many marks"));
  CHECK_THAT(reason(legacy("\x80\x02]2a."s)), Contains("no dictionary"));  // a list in itself
  CHECK_THAT(reason(legacy("\x80\x02}X\5\0\0\0modelh\0."s)), Contains("not there"));
  CHECK_THAT(reason(legacy("\x80\x02}q\0X\5\0\0\0modelh\0s."s)), Contains("too deep"));
  CHECK_THAT(reason(legacy("\x80\x02}X\xff\xff\xff\xff"s)), Contains("longer than the file"));
  CHECK_THAT(reason(legacy("\x80\x09}."s)), Contains("protocol 9"));
  CHECK_THAT(reason(legacy("\x80\x02}0."s)), Contains("untidy"));
  CHECK_THAT(reason(legacy("\x80\x02."s)), Contains("untidy"));
  CHECK_THAT(reason("PK\x03\x04"s), Contains("cut short"));
  CHECK_THAT(reason("nothing"), Contains("neither a zip archive nor"));
  CHECK_THAT(reason(""), Contains("neither"));
}

}  // namespace
}  // namespace titan
