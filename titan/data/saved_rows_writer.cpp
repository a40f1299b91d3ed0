// Writes preprocessed samples the way the MLPerf reference's preprocessing job leaves them.
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <utility>

#include "titan/data/encoded_rows.h"
#include "titan/io/arrow_writer.h"
#include "titan/io/npy.h"
#include "titan/io/saved_folder.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kRowsPerBatch = 100;                // datasets' own number for binary columns
constexpr int64_t kBytesPerBatch = int64_t{1} << 30;  // offsets have 32 bits

std::vector<SavedColumn> saved_columns() {
  std::vector<SavedColumn> columns = {{"__key__", "string"}};
  for (const char* field : kEncodedFields) columns.push_back({field, "binary"});
  columns.push_back({"timestep", "int32"});
  return columns;
}

/// One file: rows become npy arrays of uint16, the bits of bfloat16.
class FileWriter {
 public:
  FileWriter(const EncodedRows& rows, const EncodedShapes& shapes) : rows_(rows), shapes_(shapes) {
    for (std::size_t field = 0; field < kNumEncodedFields; ++field)
      headers_[field] = render_npy_header("<u2", shapes[field]);
  }

  int64_t row_bytes() const {
    std::size_t bytes = 0;
    for (std::size_t field = 0; field < kNumEncodedFields; ++field)
      bytes += headers_[field].size() + encoded_bytes(shapes_[field]);
    return static_cast<int64_t>(bytes);
  }

  Status write(const std::string& path, int64_t begin, int64_t end,
               const std::function<void(int64_t)>& progress) {
    TITAN_ASSIGN_OR_RETURN(
        ArrowStreamWriter file,
        ArrowStreamWriter::create(path, arrow_columns(saved_columns()),
                                  {{"huggingface", saved_folder_metadata(saved_columns())}}));
    const int64_t batch = std::clamp<int64_t>(kBytesPerBatch / row_bytes(), 1, kRowsPerBatch);
    for (int64_t index = begin; index < end; ++index) {
      TITAN_RETURN_IF_ERROR(append(file, index));
      if ((index - begin + 1) % batch == 0) TITAN_RETURN_IF_ERROR(file.flush());
      progress(index + 1);
    }
    return file.finish();
  }

 private:
  Status append(ArrowStreamWriter& file, int64_t index) {
    TITAN_ASSIGN_OR_RETURN(const EncodedRow row, rows_.read(index));
    if (const Status status = check_encoded_row(row, shapes_, !rows_.values_checked());
        !status.ok())
      return annotate(status, rows_.describe(index));
    std::vector<ArrowValue> values = {std::as_bytes(std::span(row.key.data(), row.key.size()))};
    for (std::size_t field = 0; field < kNumEncodedFields; ++field) {
      std::vector<std::byte>& blob = blobs_[field];
      const auto header = std::as_bytes(std::span(headers_[field]));
      blob.assign(header.begin(), header.end());
      blob.insert(blob.end(), row.values[field].begin(), row.values[field].end());
      values.emplace_back(std::span<const std::byte>(blob));
    }
    const int64_t timestep = row.timestep.value_or(0);
    if (timestep < INT32_MIN || timestep > INT32_MAX)
      return invalid_argument(rows_.describe(index), ": timestep out of range (", timestep, ")");
    if (row.timestep)
      values.emplace_back(static_cast<std::int32_t>(timestep));
    else
      values.emplace_back(std::monostate());
    return file.append(values);
  }

  const EncodedRows& rows_;
  const EncodedShapes& shapes_;
  std::array<std::string, kNumEncodedFields> headers_;
  std::array<std::vector<std::byte>, kNumEncodedFields> blobs_;
};

}  // namespace

Status write_saved_rows(const EncodedRows& rows, const std::string& folder, int64_t bytes_per_file,
                        const std::function<void(int64_t)>& progress) {
  TITAN_ASSIGN_OR_RETURN(const EncodedRow first, first_readable_row(rows));
  FileWriter writer(rows, first.shapes);
  const int64_t per_file = std::max<int64_t>(1, bytes_per_file / writer.row_bytes());
  const int64_t count = (rows.size() + per_file - 1) / per_file;
  std::vector<std::string> files;
  for (int64_t file = 0; file < count; ++file) {
    files.push_back(
        saved_file_name(static_cast<std::size_t>(file), static_cast<std::size_t>(count)));
    TITAN_RETURN_IF_ERROR(writer.write((fs::path(folder) / files.back()).string(), file * per_file,
                                       std::min((file + 1) * per_file, rows.size()), progress));
  }
  return write_saved_folder_info(folder, files, saved_columns(), rows.size(), "train");
}

}  // namespace titan
