// A folder of MosaicML's shards: index.json, then one shard (behind two bytes 0xFF), whose size the
// index gets right.
#include <algorithm>

#include "tests/fuzz/fuzz_target.h"
#include "titan/data/mds_values.h"
#include "titan/io/mds_index.h"
#include "titan/io/mds_shard.h"

namespace {

void read_value(const titan::MdsValue& value) {
  using namespace titan;
  (void)mds_caption(value);
  if (is_mds_key(value.column.encoding)) (void)mds_key(value);
  if (is_mds_integer(value.column.encoding)) (void)mds_integer(value);
  const DecodeLimits limits{.max_pixels = 1 << 18, .max_bytes = 1 << 21};
  const StatusOr<Image> image = mds_pil_image(value.bytes, limits);
  if (image.ok()) fuzz::touch(image->pixels.data(), image->pixels.size());
}

}  // namespace

TITAN_FUZZ_INPUT(mds) {
  using namespace titan;
  static fuzz::MemoryFile file;
  fuzz::Parts parts(data, size);
  auto shards = parse_mds_index(parts.next(), "index.json");
  if (!shards.ok()) return 0;
  const std::string bytes = parts.rest();
  file.fill(bytes.data(), bytes.size());
  for (MdsShardInfo& info : *shards) {
    for (const std::string& name : {info.raw_name, info.zip_name})
      TITAN_FUZZ_CHECK(("/" + name + "/").find("/../") == std::string::npos &&
                       !name.starts_with('/'));
    info.raw_bytes = bytes.size();
    const StatusOr<MdsShard> shard = MdsShard::open(file.path(), info);
    if (!shard.ok()) continue;
    for (int64_t row = 0; row < std::min<int64_t>(info.num_samples, 64); ++row) {
      const auto values = shard->values(row);
      if (!values.ok()) continue;
      for (std::size_t i = 0; i < values->size(); ++i)
        read_value({.column = info.columns[i], .bytes = (*values)[i]});
    }
  }
  return 0;
}
