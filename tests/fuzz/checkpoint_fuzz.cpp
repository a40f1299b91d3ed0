// index.json of a checkpoint. Its own checksum would stop every change: it is set right first, as
// somebody who forges a checkpoint would.
#include <nlohmann/json.hpp>

#include "tests/fuzz/fuzz_target.h"
#include "titan/base/hash.h"
#include "titan/checkpoint/checkpoint_index.h"

namespace {

std::string with_checksum(const std::string& text) {
  auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return text;
  json.erase("index_xxh3_128");
  try {
    const std::string body = json.dump();
    json["index_xxh3_128"] = titan::xxh3_128_hex(body.data(), body.size());
    return json.dump();
  } catch (const nlohmann::json::exception&) {  // not UTF-8
    return text;
  }
}

}  // namespace

TITAN_FUZZ_INPUT(checkpoint) {
  using namespace titan;
  const std::string text(reinterpret_cast<const char*>(data), size);
  (void)checkpoint::index_from_json(text, "index.json");
  const auto index = checkpoint::index_from_json(with_checksum(text), "index.json");
  if (!index.ok()) return 0;
  for (const auto& [name, file] : index->files)
    TITAN_FUZZ_CHECK(name.find('/') == std::string::npos && name != ".." && name != ".");
  for (const auto& [key, tensor] : index->tensors) {
    const StatusOr<int64_t> count = checkpoint::num_elements(tensor.shape);
    TITAN_FUZZ_CHECK(count.ok());
    for (const auto& fragment : tensor.fragments) {
      TITAN_FUZZ_CHECK(index->files.contains(fragment.file));
      TITAN_FUZZ_CHECK(fragment.offset >= 0 && fragment.length >= 0 &&
                       fragment.length <= *count - fragment.offset);
    }
  }
  (void)index->check_complete();
  const auto again = checkpoint::index_from_json(checkpoint::to_json(*index), "again");
  TITAN_FUZZ_CHECK(again.ok() && again->tensors.size() == index->tensors.size());
  return 0;
}
