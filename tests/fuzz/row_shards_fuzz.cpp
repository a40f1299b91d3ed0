// A folder of row shards: rows.json, then one file of rows (behind two bytes 0xFF), every row of
// it.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "tests/fuzz/fuzz_target.h"
#include "titan/data/row_shards.h"

namespace {

namespace fs = std::filesystem;

/// In memory.
const fs::path& folder() {
  static const struct Folder {
    fs::path path = "/dev/shm/titan-fuzz-rows-" + std::to_string(::getpid());
    Folder() { fs::create_directories(path); }
    ~Folder() { fs::remove_all(path); }
  } folder;
  return folder.path;
}

}  // namespace

TITAN_FUZZ_INPUT(row_shards) {
  using namespace titan;
  fuzz::Parts parts(data, size);
  std::ofstream(folder() / kRowShardsIndex, std::ios::binary) << parts.next();
  std::ofstream(folder() / "r", std::ios::binary) << parts.rest();
  const auto rows = open_row_shards(folder(), "fuzz");
  if (!rows.ok()) return 0;
  fuzz::touch((*rows)->fingerprint());
  for (int64_t i = 0; i < std::min<int64_t>((*rows)->size(), 64); ++i) {
    if (const auto tag = (*rows)->tag(i); tag.ok()) fuzz::touch(tag->key.data(), tag->key.size());
    const StatusOr<EncodedRow> row = (*rows)->read(i);
    if (!row.ok()) continue;
    for (std::size_t field = 0; field < kNumEncodedFields; ++field) {
      TITAN_FUZZ_CHECK(row->values[field].size() == encoded_bytes(row->shapes[field]));
      fuzz::touch(row->values[field].data(), row->values[field].size());
    }
  }
  return 0;
}
