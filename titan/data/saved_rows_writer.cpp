// Writes preprocessed samples the way the MLPerf reference's preprocessing job leaves them.
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <utility>

#include "titan/data/encoded_file.h"
#include "titan/data/encoded_rows.h"

namespace titan {
namespace {

Status write_file(const EncodedFormat& format, const EncodedRows& rows, const EncodedShapes& shapes,
                  const std::string& path, int64_t begin, int64_t end,
                  const std::function<void(int64_t)>& progress) {
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<EncodedFile> file, format.create_file(path, shapes));
  for (int64_t index = begin; index < end; ++index) {
    TITAN_ASSIGN_OR_RETURN(const EncodedRow row, rows.read(index));
    Status status = check_encoded_row(row, shapes, !rows.values_checked());
    if (status.ok()) status = file->append(row);
    if (!status.ok()) return annotate(status, rows.describe(index));
    progress(index + 1);
  }
  return file->finish().status();
}

}  // namespace

Status write_saved_rows(const EncodedRows& rows, const std::string& folder, int64_t bytes_per_file,
                        const std::function<void(int64_t)>& progress) {
  TITAN_ASSIGN_OR_RETURN(const EncodedRow first, first_readable_row(rows));
  const std::unique_ptr<EncodedFormat> format = make_saved_row_format();
  const int64_t per_file = std::max<int64_t>(1, bytes_per_file / format->row_bytes(first.shapes));
  const int64_t count = (rows.size() + per_file - 1) / per_file;
  std::vector<std::pair<std::string, int64_t>> files;
  for (int64_t file = 0; file < count; ++file) {
    const int64_t begin = file * per_file;
    const int64_t end = std::min(begin + per_file, rows.size());
    files.emplace_back(
        format->file_name(static_cast<std::size_t>(file), static_cast<std::size_t>(count)),
        end - begin);
    TITAN_RETURN_IF_ERROR(write_file(*format, rows, first.shapes,
                                     (std::filesystem::path(folder) / files.back().first).string(),
                                     begin, end, progress));
  }
  return format->write_index(folder, first.shapes, files);
}

}  // namespace titan
