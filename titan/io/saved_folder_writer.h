// saved_folder_writer.h: writes a data set row by row as Hugging Face's save_to_disk leaves it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/arrow_writer.h"
#include "titan/io/saved_folder.h"

namespace titan {

/// Into a folder that exists and is empty: files of about `bytes_per_file`, record batches of at
/// most 100 rows (datasets' own number for images and binary columns).
class SavedFolderWriter {
 public:
  SavedFolderWriter(std::string folder, std::vector<SavedColumn> columns, int64_t bytes_per_file);

  /// Appends a row: the values of the columns in their order; for a struct its fields', for an
  /// image bytes and path (ArrowStreamWriter::append).
  Status append(const std::vector<ArrowValue>& row);
  /// Ends the last file, gives all their names, writes state.json and dataset_info.json. A data set
  /// without rows is kFailedPrecondition: datasets cannot load it. Once.
  Status finish(const std::string& split);

  int64_t num_rows() const { return num_rows_; }
  int num_files() const { return num_files_; }

 private:
  Status end_file();

  std::string folder_;
  std::vector<SavedColumn> columns_;
  int64_t bytes_per_file_;
  std::optional<ArrowStreamWriter> file_;
  int num_files_ = 0;
  int64_t num_rows_ = 0;
  int64_t bytes_in_file_ = 0, bytes_in_batch_ = 0, rows_in_batch_ = 0;
};

}  // namespace titan
