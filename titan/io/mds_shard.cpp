#include "titan/io/mds_shard.h"

#include <algorithm>

#include "titan/io/unaligned.h"

namespace titan {
namespace {

constexpr std::uint64_t kWord = sizeof(std::uint32_t);

}  // namespace

StatusOr<MdsShard> MdsShard::open(const std::string& path, const MdsShardInfo& info) {
  MdsShard shard;
  TITAN_ASSIGN_OR_RETURN(shard.file_, MappedFile::open(path));
  shard.columns_ = info.columns;
  const std::uint64_t size = shard.file_.size();
  if (size != info.raw_bytes)
    return data_loss("[mds] ", path, " has ", size, " bytes, index.json says ", info.raw_bytes);
  const auto count = static_cast<std::uint64_t>(info.num_samples);
  if (size < kWord * (count + 2))
    return data_loss("[mds] ", path, " is too short for the offsets of ", count, " samples (", size,
                     " bytes)");
  const auto stored = load_unaligned<std::uint32_t>(shard.file_.data());
  if (stored != count)
    return data_loss("[mds] ", path, " holds ", stored, " samples, index.json says ", count);
  return shard;
}

StatusOr<std::vector<std::span<const std::byte>>> MdsShard::values(int64_t row) const {
  const std::span<const std::byte> bytes = file_.bytes();
  const auto word = [&](std::uint64_t at) {
    return std::uint64_t{load_unaligned<std::uint32_t>(bytes.data() + at)};
  };
  const std::uint64_t begin = word(kWord * (static_cast<std::uint64_t>(row) + 1));
  const std::uint64_t end = word(kWord * (static_cast<std::uint64_t>(row) + 2));
  if (begin > end || end > bytes.size())
    return data_loss("[mds] ", path(), " sample ", row, ": offsets out of range (", begin, " to ",
                     end, " of ", bytes.size(), ")");
  TITAN_RETURN_IF_ERROR(file_.populate(begin, end - begin));
  const auto num_sizes = static_cast<std::uint64_t>(std::count_if(
      columns_.begin(), columns_.end(), [](const MdsColumn& column) { return !column.size; }));
  std::uint64_t size_at = begin;
  std::uint64_t at = begin + kWord * num_sizes;
  std::vector<std::span<const std::byte>> values;
  for (const MdsColumn& column : columns_) {
    if (at > end) break;  // also where the sizes themselves do not fit
    std::uint64_t size = column.size.value_or(0);
    if (!column.size) {
      size = word(size_at);
      size_at += kWord;
    }
    if (size > end - at) break;
    values.push_back(bytes.subspan(at, size));
    at += size;
  }
  if (values.size() != columns_.size() || at != end)
    return data_loss("[mds] ", path(), " sample ", row, ": the values do not fill its ",
                     end - begin, " bytes");
  return values;
}

}  // namespace titan
