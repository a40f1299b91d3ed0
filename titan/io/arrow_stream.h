// arrow_stream.h: files in Arrow's IPC streaming format, as Hugging Face's save_to_disk writes
// them: a schema, then record batches (https://arrow.apache.org/docs/format/Columnar.html).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "titan/base/segments.h"
#include "titan/base/status.h"
#include "titan/io/mapped_file.h"

namespace titan {

/// Kinds of columns that can be read. Others are kept by name and refused when they are asked for.
enum class ArrowKind : std::uint8_t { kBytes, kText, kInteger, kNull, kStruct, kOther };

struct ArrowField {
  std::string name;
  ArrowKind kind = ArrowKind::kOther;
  std::string type;  ///< nanoarrow's name: "binary", "large_string", "int32"
  int parent = -1;   ///< the struct that it is part of; -1: a column
};

/// A mapped file. Opening walks the messages' headers and touches no values; any row is then found
/// by binary search over the batches. Whatever the file says, no byte outside it is read: offsets
/// of a row are checked when the row is read. Thread-safe.
class ArrowStreamFile {
 public:
  /// Errors (kDataLoss, or kInvalidArgument for what is sound but not supported: the random-access
  /// format, compressed batches, dictionaries) name the file and the batch.
  static StatusOr<ArrowStreamFile> open(const std::string& path);

  const std::string& path() const { return file_.path(); }
  std::size_t size_bytes() const { return file_.size(); }
  /// Columns, each struct followed by its parts.
  const std::vector<ArrowField>& fields() const { return fields_; }
  /// "key, png, txt": the columns, for messages.
  std::string column_names() const;
  /// Index of the column, -1 where there is none (or two).
  int find(std::string_view column) const { return find(-1, column); }
  /// Index of the part `name` of the struct with the index `parent`, -1 where there is none (or
  /// two).
  int find(int parent, std::string_view name) const;

  int64_t num_rows() const { return batches_.total(); }
  std::size_t num_batches() const { return batches_.size(); }
  /// False where the stream just stops: it may have been cut between two batches.
  bool has_end_mark() const { return has_end_mark_; }

  /// Bytes of a kBytes or kText column at `row` in [0, num_rows()), valid as long as this object;
  /// no value where it, or the struct around it, is null. An error for hostile offsets.
  StatusOr<std::optional<std::span<const std::byte>>> bytes(int column, int64_t row) const;
  /// Value of a kInteger column; kNull columns are all null.
  StatusOr<std::optional<int64_t>> integer(int column, int64_t row) const;

  /// MappedFile's, for a range that bytes() has given.
  void prefetch(std::span<const std::byte> range) const;
  Status populate(std::span<const std::byte> range) const;

 private:
  struct Reader;
  /// Buffers of one column in one batch, all within the file.
  struct Column {
    const std::byte* validity = nullptr;  ///< bits, or nullptr: all valid
    std::span<const std::byte> offsets;   ///< of bytes and text
    std::span<const std::byte> data;
    bool all_null = false;
  };
  struct Place {
    const Column* column;
    int64_t row;  ///< within the batch
  };
  Place place(int column, int64_t row) const;
  bool is_null(int column, int64_t row) const;

  MappedFile file_;
  std::vector<ArrowField> fields_;
  std::vector<int> widths_;      ///< bytes of an offset or integer by field
  std::vector<bool> unsigned_;   ///< integers by field
  Segments batches_;             ///< rows of each batch
  std::vector<Column> columns_;  ///< batch-major
  bool has_end_mark_ = false;
};

}  // namespace titan
