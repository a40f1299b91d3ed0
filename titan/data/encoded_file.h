// encoded_file.h: preprocessed samples row by row into one file, for a writer that does not know
// beforehand how many there will be.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "titan/base/status.h"
#include "titan/data/encoded_rows.h"

namespace titan {

/// One file under construction. It appears whole with finish() and not at all without.
class EncodedFile {
 public:
  virtual ~EncodedFile() = default;

  /// Appends a row of the file's shapes, copied. An error where the timestep is out of range.
  virtual Status append(const EncodedRow& row) = 0;
  /// Commits, durably; the file's size in bytes. Once.
  virtual StatusOr<int64_t> finish() = 0;
};

/// A format of folders of such files.
class EncodedFormat {
 public:
  virtual ~EncodedFormat() = default;

  virtual StatusOr<std::unique_ptr<EncodedFile>> create_file(const std::string& path,
                                                             const EncodedShapes& shapes) const = 0;
  /// Name of file `index` of `count` in a finished folder.
  virtual std::string file_name(std::size_t index, std::size_t count) const = 0;
  /// What makes finished files a data set: written last. `files`: name and rows, in order.
  virtual Status write_index(const std::string& folder, const EncodedShapes& shapes,
                             const std::vector<std::pair<std::string, int64_t>>& files) const = 0;
  /// Bytes of a row in a file, at most.
  virtual int64_t row_bytes(const EncodedShapes& shapes) const = 0;
  /// Size of a file where nobody asks for another.
  virtual int64_t default_file_bytes() const = 0;
};

/// "arrow" (saved_row_file.cpp) or "rows" (row_shards.h, version 2).
StatusOr<std::unique_ptr<EncodedFormat>> find_encoded_format(const std::string& name);

/// The two, for find_encoded_format.
std::unique_ptr<EncodedFormat> make_saved_row_format();
std::unique_ptr<EncodedFormat> make_row_shard_format();

}  // namespace titan
