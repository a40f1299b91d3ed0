// Rows of a folder of save_to_disk.
#include <array>
#include <filesystem>
#include <utility>
#include <vector>

#include "titan/base/hash.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/saved_folder.h"
#include "titan/tools/data/image_rows.h"

namespace titan::tools {
namespace {

namespace fs = std::filesystem;

/// In the order of what training would use (data/saved_images.h).
constexpr std::array kImageColumns = {"png", "jpg", "jpeg", "webp", "image"};

/// Indices of a file's columns; -1: absent.
struct Columns {
  std::string image_name;
  int image = -1;  ///< its bytes
  int path = -1;
  int txt = -1;
  int key = -1;
};

StatusOr<Columns> find_columns(const ArrowStreamFile& file, const std::string& action) {
  const auto is = [&](int column, ArrowKind kind) {
    return column >= 0 && file.fields()[static_cast<std::size_t>(column)].kind == kind;
  };
  Columns columns;
  for (const char* name : kImageColumns) {
    const int column = file.find(name);
    if (is(column, ArrowKind::kStruct)) {
      columns.image = file.find(column, "bytes");
      columns.path = file.find(column, "path");
    } else {
      columns.image = column;
    }
    columns.image_name = name;
    if (is(columns.image, ArrowKind::kBytes)) break;
    columns.image = -1;
  }
  if (columns.image < 0)
    return invalid_argument("[", action, "] ", file.path(),
                            " has no column of images: png, jpg, jpeg, webp or image (it has ",
                            file.column_names(), ")");
  if (!is(columns.path, ArrowKind::kText)) columns.path = -1;
  columns.txt = file.find("txt");
  if (!is(columns.txt, ArrowKind::kText)) columns.txt = -1;
  columns.key = file.find("__key__");
  if (!is(columns.key, ArrowKind::kText)) columns.key = -1;
  return columns;
}

class SavedImageRows : public ImageRows {
 public:
  SavedImageRows(SavedFolder folder, std::vector<Columns> columns)
      : folder_(std::move(folder)), columns_(std::move(columns)) {}

  StatusOr<std::optional<ImageRow>> read(int64_t index) const override {
    if (index >= folder_.num_rows()) return std::nullopt;
    const auto [file, local] = folder_.find(index);
    const ArrowStreamFile& arrow = folder_.files()[file];
    const Columns& columns = columns_[file];
    ImageRow row{.key = std::to_string(local),
                 .url = fs::path(arrow.path()).filename().string(),
                 .image_extension = columns.image_name};
    const auto load = [&, local = local](int column) -> std::optional<std::string> {
      if (column < 0) return std::nullopt;
      const auto bytes = arrow.bytes(column, local);
      if (!bytes.ok()) row.damage = message_of(bytes.status());
      if (!bytes.ok() || !bytes->has_value()) return std::nullopt;
      return std::string(reinterpret_cast<const char*>((*bytes)->data()), (*bytes)->size());
    };
    if (auto key = load(columns.key)) row.key = *std::move(key);
    row.txt = load(columns.txt);
    row.image = load(columns.image);
    if (!row.image) {
      if (const auto path = load(columns.path)) {
        StatusOr<std::string> bytes = read_file((fs::path(folder_.path()) / *path).string());
        if (bytes.ok())
          row.image = *std::move(bytes);
        else
          row.damage = message_of(bytes.status());
      }
    }
    return row;
  }

  double share_before(int64_t index) const override {
    return static_cast<double>(index) / static_cast<double>(folder_.num_rows());
  }

  std::string fingerprint() const override {
    Xxh3Stream hash;
    for (const ArrowStreamFile& file : folder_.files()) {
      const std::string line = str_cat(fs::path(file.path()).filename().string(), " ",
                                       file.size_bytes(), " ", file.num_rows(), "\n");
      hash.update(line.data(), line.size());
    }
    return hash.hex();
  }

 private:
  SavedFolder folder_;
  std::vector<Columns> columns_;  ///< of each file
};

}  // namespace

StatusOr<std::unique_ptr<ImageRows>> open_saved_image_rows(const std::string& folder,
                                                           const std::string& action) {
  TITAN_ASSIGN_OR_RETURN(SavedFolder saved, SavedFolder::open(folder));
  if (saved.num_rows() == 0) return invalid_argument("[", action, "] ", folder, " has no rows");
  std::vector<Columns> columns;
  for (const ArrowStreamFile& file : saved.files()) {
    TITAN_ASSIGN_OR_RETURN(Columns of_file, find_columns(file, action));
    columns.push_back(std::move(of_file));
  }
  return std::make_unique<SavedImageRows>(std::move(saved), std::move(columns));
}

}  // namespace titan::tools
