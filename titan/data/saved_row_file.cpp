// Rows into the files of a save_to_disk folder, the way the MLPerf reference's preprocessing job
// leaves them: npy arrays of uint16, the bits of bfloat16.
#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <utility>

#include "titan/data/encoded_file.h"
#include "titan/io/arrow_writer.h"
#include "titan/io/npy.h"
#include "titan/io/saved_folder.h"

namespace titan {
namespace {

constexpr int64_t kRowsPerBatch = 100;                // datasets' own number for binary columns
constexpr int64_t kBytesPerBatch = int64_t{1} << 30;  // offsets have 32 bits

std::vector<SavedColumn> saved_columns() {
  std::vector<SavedColumn> columns = {{"__key__", "string"}};
  for (const char* field : kEncodedFields) columns.push_back({field, "binary"});
  columns.push_back({"timestep", "int32"});
  return columns;
}

int64_t blob_bytes(const EncodedShapes& shapes) {
  std::size_t bytes = 0;
  for (const std::vector<int64_t>& shape : shapes)
    bytes += render_npy_header("<u2", shape).size() + encoded_bytes(shape);
  return static_cast<int64_t>(bytes);
}

class SavedRowFile : public EncodedFile {
 public:
  SavedRowFile(ArrowStreamWriter file, std::string path, const EncodedShapes& shapes)
      : file_(std::move(file)),
        path_(std::move(path)),
        batch_(std::clamp<int64_t>(kBytesPerBatch / blob_bytes(shapes), 1, kRowsPerBatch)) {
    for (std::size_t field = 0; field < kNumEncodedFields; ++field)
      headers_[field] = render_npy_header("<u2", shapes[field]);
  }

  Status append(const EncodedRow& row) override {
    const int64_t timestep = row.timestep.value_or(0);
    if (timestep < INT32_MIN || timestep > INT32_MAX)
      return invalid_argument("timestep out of range (", timestep, ")");
    std::vector<ArrowValue> values = {std::as_bytes(std::span(row.key.data(), row.key.size()))};
    for (std::size_t field = 0; field < kNumEncodedFields; ++field) {
      std::vector<std::byte>& blob = blobs_[field];
      const auto header = std::as_bytes(std::span(headers_[field]));
      blob.assign(header.begin(), header.end());
      blob.insert(blob.end(), row.values[field].begin(), row.values[field].end());
      values.emplace_back(std::span<const std::byte>(blob));
    }
    if (row.timestep)
      values.emplace_back(static_cast<std::int32_t>(timestep));
    else
      values.emplace_back(std::monostate());
    TITAN_RETURN_IF_ERROR(file_.append(values));
    return ++rows_ % batch_ == 0 ? file_.flush() : ok_status();
  }

  StatusOr<int64_t> finish() override {
    TITAN_RETURN_IF_ERROR(file_.finish());
    std::error_code error;
    const std::uintmax_t bytes = std::filesystem::file_size(path_, error);
    if (error) return internal_error("[arrow] ", path_, ": ", error.message());
    return static_cast<int64_t>(bytes);
  }

 private:
  ArrowStreamWriter file_;
  std::string path_;
  int64_t batch_;
  int64_t rows_ = 0;
  std::array<std::string, kNumEncodedFields> headers_;
  std::array<std::vector<std::byte>, kNumEncodedFields> blobs_;
};

class SavedRowFormat : public EncodedFormat {
 public:
  StatusOr<std::unique_ptr<EncodedFile>> create_file(const std::string& path,
                                                     const EncodedShapes& shapes) const override {
    TITAN_ASSIGN_OR_RETURN(
        ArrowStreamWriter file,
        ArrowStreamWriter::create(path, arrow_columns(saved_columns()),
                                  {{"huggingface", saved_folder_metadata(saved_columns())}}));
    return std::make_unique<SavedRowFile>(std::move(file), path, shapes);
  }

  std::string file_name(std::size_t index, std::size_t count) const override {
    return saved_file_name(index, count);
  }

  Status write_index(const std::string& folder, const EncodedShapes& /*shapes*/,
                     const std::vector<std::pair<std::string, int64_t>>& files) const override {
    std::vector<std::string> names;
    int64_t rows = 0;
    for (const auto& [name, count] : files) {
      names.push_back(name);
      rows += count;
    }
    return write_saved_folder_info(folder, names, saved_columns(), rows, "train");
  }

  int64_t row_bytes(const EncodedShapes& shapes) const override { return blob_bytes(shapes); }
  int64_t default_file_bytes() const override { return 500'000'000; }
};

}  // namespace

std::unique_ptr<EncodedFormat> make_saved_row_format() {
  return std::make_unique<SavedRowFormat>();
}

StatusOr<std::unique_ptr<EncodedFormat>> find_encoded_format(const std::string& name) {
  if (name == "arrow") return make_saved_row_format();
  if (name == "rows") return make_row_shard_format();
  return invalid_argument("[data] no such format of encoded samples ('", name,
                          "'; known: arrow, rows)");
}

}  // namespace titan
