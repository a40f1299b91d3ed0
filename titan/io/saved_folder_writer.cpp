#include "titan/io/saved_folder_writer.h"

#include <filesystem>
#include <system_error>
#include <utility>
#include <variant>

#include "titan/io/errno_status.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kRowsPerBatch = 100;
constexpr int64_t kBytesPerBatch = int64_t{1} << 30;  // offsets have 32 bits

/// The number of files stands in their names and is known last.
std::string unfinished_name(int index) { return str_cat("unfinished-", index, ".arrow"); }

int64_t bytes_of(const std::vector<ArrowValue>& row) {
  int64_t bytes = 0;
  for (const ArrowValue& value : row) {
    const auto* data = std::get_if<std::span<const std::byte>>(&value);
    bytes += data == nullptr ? 8 : static_cast<int64_t>(data->size()) + 4;
  }
  return bytes;
}

}  // namespace

SavedFolderWriter::SavedFolderWriter(std::string folder, std::vector<SavedColumn> columns,
                                     int64_t bytes_per_file)
    : folder_(std::move(folder)), columns_(std::move(columns)), bytes_per_file_(bytes_per_file) {}

Status SavedFolderWriter::append(const std::vector<ArrowValue>& row) {
  const int64_t bytes = bytes_of(row);
  if (file_ && bytes_in_file_ + bytes > bytes_per_file_) TITAN_RETURN_IF_ERROR(end_file());
  if (!file_) {
    const std::string path = (fs::path(folder_) / unfinished_name(num_files_)).string();
    TITAN_ASSIGN_OR_RETURN(
        ArrowStreamWriter file,
        ArrowStreamWriter::create(path, arrow_columns(columns_),
                                  {{"huggingface", saved_folder_metadata(columns_)}}));
    file_.emplace(std::move(file));
    ++num_files_;
    bytes_in_file_ = bytes_in_batch_ = rows_in_batch_ = 0;
  }
  if (rows_in_batch_ == kRowsPerBatch ||
      (rows_in_batch_ > 0 && bytes_in_batch_ + bytes > kBytesPerBatch)) {
    TITAN_RETURN_IF_ERROR(file_->flush());
    bytes_in_batch_ = rows_in_batch_ = 0;
  }
  TITAN_RETURN_IF_ERROR(file_->append(row));
  bytes_in_file_ += bytes;
  bytes_in_batch_ += bytes;
  ++rows_in_batch_;
  ++num_rows_;
  return ok_status();
}

Status SavedFolderWriter::end_file() {
  TITAN_RETURN_IF_ERROR(file_->finish());
  file_.reset();
  return ok_status();
}

Status SavedFolderWriter::finish(const std::string& split) {
  if (num_rows_ == 0) return failed_precondition("[arrow] no row to write into ", folder_);
  if (file_) TITAN_RETURN_IF_ERROR(end_file());
  std::vector<std::string> names;
  for (int i = 0; i < num_files_; ++i) {
    names.push_back(
        saved_file_name(static_cast<std::size_t>(i), static_cast<std::size_t>(num_files_)));
    std::error_code error;
    fs::rename(fs::path(folder_) / unfinished_name(i), fs::path(folder_) / names.back(), error);
    if (error) return errno_status(error.value(), "rename a file in", folder_);
  }
  return write_saved_folder_info(folder_, names, columns_, num_rows_, split);
}

}  // namespace titan
