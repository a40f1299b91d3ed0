// row_shard.h: one file of row shards, of either version, opened for reading (row_shards.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "titan/base/status.h"
#include "titan/data/encoded_rows.h"
#include "titan/io/safetensors.h"

namespace titan {

class RowShard {
 public:
  /// Reads the header and no row. Messages do not name the file.
  static StatusOr<RowShard> open(const std::string& path, int64_t num_rows,
                                 const EncodedShapes& shapes, int version);

  const std::string& name() const { return name_; }
  int64_t num_rows() const { return num_rows_; }
  std::uint64_t size_bytes() const { return file_->file().size(); }

  /// Row in [0, num_rows()). Thread-safe. kDataLoss where its place or its values are damaged.
  StatusOr<EncodedRow> read(int64_t row, const EncodedShapes& shapes) const;
  StatusOr<EncodedTag> tag(int64_t row) const;

 private:
  Status open_plain(const EncodedShapes& shapes);
  Status open_coded();
  StatusOr<const TensorEntry*> expect(const char* name, TensorType type,
                                      const std::vector<int64_t>& shape) const;
  Status read_plain(int64_t row, EncodedRow& out) const;
  Status read_coded(int64_t row, EncodedRow& out) const;
  Status populate(const std::byte* from, std::size_t bytes) const;

  std::shared_ptr<const SafetensorsFile> file_;
  std::string name_;
  int64_t num_rows_ = 0;
  const std::byte* rows_ = nullptr;    ///< version 1
  const TensorEntry* data_ = nullptr;  ///< version 2
  const std::byte* places_ = nullptr;  ///< version 2
  const std::byte* timesteps_ = nullptr;
  const std::byte* key_ends_ = nullptr;
  const TensorEntry* keys_ = nullptr;
};

}  // namespace titan
