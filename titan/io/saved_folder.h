// saved_folder.h: a data set as Hugging Face's save_to_disk leaves it: state.json,
// dataset_info.json and data-XXXXX-of-NNNNN.arrow.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/base/segments.h"
#include "titan/base/status.h"
#include "titan/io/arrow_stream.h"
#include "titan/io/arrow_writer.h"

namespace titan {

/// All files opened (mapped, headers walked). The order is state.json's, never a glob's.
class SavedFolder {
 public:
  /// kNotFound for a missing folder, json or file, kDataLoss for damage: the message names it.
  static StatusOr<SavedFolder> open(const std::string& folder);

  const std::string& path() const { return path_; }
  int64_t num_rows() const { return rows_.total(); }
  const std::vector<ArrowStreamFile>& files() const { return files_; }

  /// File and row within it of `row` in [0, num_rows()).
  Segments::Place find(int64_t row) const { return rows_.find(row); }
  /// "data-00000-of-00003.arrow row 5".
  std::string describe(int64_t row) const;

 private:
  std::string path_;
  std::vector<ArrowStreamFile> files_;
  Segments rows_;  ///< of each file
};

/// Whether `folder` looks like one: it holds state.json or dataset_info.json.
bool looks_like_saved_folder(const std::string& folder);

/// "data-00003-of-00012.arrow".
std::string saved_file_name(std::size_t index, std::size_t count);

/// A column as Hugging Face's features describe it.
struct SavedColumn {
  std::string name;
  /// A dtype ("string", "binary", "int32", "int64", "float64", "bool", "null"), or "image" (a
  /// struct of bytes and path) or "struct".
  std::string type;
  std::vector<SavedColumn> fields = {};  ///< of a struct
};
/// The columns of the files. Throws for an unknown type.
std::vector<ArrowColumnSpec> arrow_columns(const std::vector<SavedColumn>& columns);

/// Writes state.json and dataset_info.json beside finished files.
Status write_saved_folder_info(const std::string& folder, const std::vector<std::string>& files,
                               const std::vector<SavedColumn>& columns, int64_t num_rows,
                               const std::string& split);
/// The schema metadata that datasets writes: key "huggingface".
std::string saved_folder_metadata(const std::vector<SavedColumn>& columns);

}  // namespace titan
