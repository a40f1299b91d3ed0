// The JSON (and one XML) that comes from data sets, model folders, servers and our own run folders.
// The first byte chooses the reader.
#include <set>

#include "tests/fuzz/fuzz_target.h"
#include "titan/data/webdataset_fields.h"
#include "titan/io/remote/s3.h"
#include "titan/io/remote/shard_counts.h"
#include "titan/io/shard_index.h"
#include "titan/metrics/jsonl.h"

namespace {

void read_members(const std::string& text) {
  using namespace titan;
  StatusOr<TextFields> fields = decode_text_members({.txt = {}, .json = text, .label = {}}, "cls");
  if (!fields.ok()) return;
  if (fields->caption) fuzz::touch(*fields->caption);
  (void)decode_coco_json(text, *fields);
}

void read_weight_index(const std::string& text) {
  for (const char* ending : {".safetensors", ".bin"}) {
    const auto index = titan::parse_shard_index(text, ending);
    if (!index.ok()) continue;
    // Promise of the reader: files of the same folder.
    for (const std::string& file : titan::files_of(*index))
      TITAN_FUZZ_CHECK(file.find('/') == std::string::npos && file != "..");
  }
}

void read_shard_counts(const std::string& text) {
  if (!titan::is_shard_counts(text)) return;
  const auto counts = titan::parse_shard_counts(text, "index.json");
  if (counts.ok()) titan::fuzz::touch(titan::render_shard_counts(*counts));
}

void read_metrics(const std::string& text) {
  static titan::fuzz::MemoryFile file;
  (void)titan::metrics::find_event(file.fill(text.data(), text.size()), "stop");
}

}  // namespace

TITAN_FUZZ_INPUT(json) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case 'w':
      read_members(text);
      break;
    case 'i':
      read_weight_index(text);
      break;
    case 'c':
      read_shard_counts(text);
      break;
    case 'm':
      read_metrics(text);
      break;
    case 'x':
      (void)titan::parse_s3_page(text, "bucket");
      break;
    default:
      break;
  }
  return 0;
}
