// mds_shard.h: one shard of MosaicML's streaming format: a count, offsets, a JSON header, then the
// samples, each the sizes of its values and the values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/mapped_file.h"
#include "titan/io/mds_index.h"

namespace titan {

/// A mapped, uncompressed shard. Whatever the file says, no byte outside it is read. Thread-safe.
class MdsShard {
 public:
  /// Checks the file against the index: its size, its number of samples. kDataLoss names the file.
  static StatusOr<MdsShard> open(const std::string& path, const MdsShardInfo& info);

  const std::string& path() const { return file_.path(); }
  /// Values of sample `row` in [0, num_samples) by column, valid as long as this object. kDataLoss
  /// for offsets or sizes that do not fit.
  StatusOr<std::vector<std::span<const std::byte>>> values(int64_t row) const;

 private:
  MappedFile file_;
  std::vector<MdsColumn> columns_;
};

}  // namespace titan
