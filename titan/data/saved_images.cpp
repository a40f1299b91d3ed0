#include "titan/data/saved_images.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "titan/data/image_sample.h"
#include "titan/data/sample_parts.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/saved_folder.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

constexpr std::array kPictureColumns = {"png", "jpg", "jpeg", "webp", "image"};
constexpr std::array kCaptionColumns = {"txt", "caption", "text"};

/// Indices of the columns in one file; -1: absent.
struct Columns {
  std::string picture_name;
  int picture = -1;  ///< the bytes
  int path = -1;
  int caption = -1;
  int key = -1;
  int id = -1;         ///< COCO's, as text
  int number_id = -1;  ///< or as a number
  int timestep = -1;   ///< COCO's
};

/// Looks for the columns of one file.
class Finder {
 public:
  Finder(const ArrowStreamFile& file, const SavedImagesRules& rules) : file_(file), rules_(rules) {}

  StatusOr<Columns> find() {
    TITAN_RETURN_IF_ERROR(find_picture());
    TITAN_RETURN_IF_ERROR(find_caption());
    const int key = file_.find("__key__");
    if (key >= 0) {
      TITAN_ASSIGN_OR_RETURN(out_.key, of_kind(key, ArrowKind::kText, "string"));
    }
    if (rules_.is_coco) TITAN_RETURN_IF_ERROR(find_coco());
    return out_;
  }

 private:
  template <class... Parts>
  Status refuse(const Parts&... why) const {
    return invalid_argument("[", rules_.speaker, "] ", file_.path(), ": ", why..., " (it has ",
                            file_.column_names(), ")");
  }
  const ArrowField& field(int column) const {
    return file_.fields()[static_cast<std::size_t>(column)];
  }
  /// A column that is all null has no type of its own: its rows are refused one by one.
  StatusOr<int> of_kind(int column, ArrowKind kind, const char* wanted) const {
    if (field(column).kind == kind || field(column).kind == ArrowKind::kNull) return column;
    return refuse("column '", field(column).name, "' has type ", field(column).type, ", not ",
                  wanted);
  }
  int find_in_json(const char* name) const {
    const int json = file_.find("json");
    return json < 0 ? -1 : file_.find(json, name);
  }

  Status find_picture() {
    for (const char* name : kPictureColumns) {
      const int column = file_.find(name);
      if (column < 0) continue;
      out_.picture_name = name;
      if (field(column).kind != ArrowKind::kStruct) {
        TITAN_ASSIGN_OR_RETURN(out_.picture, of_kind(column, ArrowKind::kBytes,
                                                     "an image (struct of bytes and path)"));
        return ok_status();
      }
      const int bytes = file_.find(column, "bytes");
      const int path = file_.find(column, "path");
      if (bytes < 0) return refuse("column '", name, "' is a struct without 'bytes'");
      TITAN_ASSIGN_OR_RETURN(out_.picture, of_kind(bytes, ArrowKind::kBytes, "binary"));
      if (path >= 0) {
        TITAN_ASSIGN_OR_RETURN(out_.path, of_kind(path, ArrowKind::kText, "string"));
      }
      return ok_status();
    }
    return refuse("no column of images (png, jpg, jpeg, webp or image)");
  }

  Status find_caption() {
    int column = -1;
    for (const char* name : kCaptionColumns)
      if (column < 0) column = file_.find(name);
    if (column < 0) column = find_in_json("caption");
    if (column < 0) return refuse("no column of captions (txt, caption, text, or caption in json)");
    TITAN_ASSIGN_OR_RETURN(out_.caption, of_kind(column, ArrowKind::kText, "string"));
    return ok_status();
  }

  Status find_coco() {
    int timestep = find_in_json("timestep");
    if (timestep < 0) timestep = file_.find("timestep");
    if (timestep < 0) return refuse("no 'timestep', neither in the struct 'json' nor as a column");
    TITAN_ASSIGN_OR_RETURN(out_.timestep, of_kind(timestep, ArrowKind::kInteger, "an integer"));
    const int id = find_in_json("id");
    if (id >= 0 && field(id).kind != ArrowKind::kInteger) {
      TITAN_ASSIGN_OR_RETURN(out_.id, of_kind(id, ArrowKind::kText, "string"));
    } else {
      out_.number_id = id;
    }
    return ok_status();
  }

  const ArrowStreamFile& file_;
  const SavedImagesRules& rules_;
  Columns out_;
};

class SavedImages : public Dataset {
 public:
  SavedImages(SavedFolder folder, std::vector<Columns> columns, SavedImagesRules rules)
      : folder_(std::move(folder)),
        columns_(std::move(columns)),
        rules_(std::move(rules)),
        size_(rules_.max_samples > 0 ? std::min(folder_.num_rows(), rules_.max_samples)
                                     : folder_.num_rows()) {}

  int64_t size() const override { return size_; }
  std::string describe(int64_t index) const override { return folder_.describe(index); }

  StatusOr<Sample> read(int64_t index, const DrawKey& key) const override {
    const auto [file, row] = folder_.find(index);
    StatusOr<Sample> sample = decode(folder_.files()[file], columns_[file], row, index, key);
    if (!sample.ok())
      return annotate(sample.status(), str_cat("[", rules_.speaker, "] ", describe(index)));
    return sample;
  }

  std::string fingerprint() const override {
    Fingerprint fingerprint;
    for (const ArrowStreamFile& file : folder_.files())
      fingerprint.add(fs::path(file.path()).filename().string(), " ", file.size_bytes(), " ",
                      file.num_rows());
    return fingerprint.hex();
  }

 private:
  StatusOr<Sample> decode(const ArrowStreamFile& file, const Columns& columns, int64_t row,
                          int64_t index, const DrawKey& key) const {
    ImageFacts facts;
    TITAN_ASSIGN_OR_RETURN(const auto caption, text(file, columns.caption, row));
    if (!caption) return data_loss("the caption is null");
    facts.caption = *caption;
    TITAN_ASSIGN_OR_RETURN(facts.key, key_of(file, columns, row));
    if (columns.timestep >= 0) {
      TITAN_ASSIGN_OR_RETURN(facts.timestep, file.integer(columns.timestep, row));
      if (!facts.timestep) return data_loss("the timestep is null");
    }
    TITAN_ASSIGN_OR_RETURN(const auto bytes, file.bytes(columns.picture, row));
    if (bytes) {
      TITAN_RETURN_IF_ERROR(file.populate(*bytes));
      return image_sample({reinterpret_cast<const char*>(bytes->data()), bytes->size()},
                          std::move(facts), rules_.image, index, key);
    }
    TITAN_ASSIGN_OR_RETURN(const auto path, text(file, columns.path, row));
    if (!path) return data_loss("the image in column '", columns.picture_name, "' is null");
    TITAN_ASSIGN_OR_RETURN(const std::string contents, read_path(*path));
    return image_sample(contents, std::move(facts), rules_.image, index, key);
  }

  /// COCO's id, else `__key__`; empty where there is neither.
  static StatusOr<std::string> key_of(const ArrowStreamFile& file, const Columns& columns,
                                      int64_t row) {
    TITAN_ASSIGN_OR_RETURN(auto id, text(file, columns.id, row));
    if (id) return *std::move(id);
    if (columns.number_id >= 0) {
      TITAN_ASSIGN_OR_RETURN(const auto number, file.integer(columns.number_id, row));
      if (number) return str_cat(*number);
    }
    TITAN_ASSIGN_OR_RETURN(auto key, text(file, columns.key, row));
    if (!key && columns.key >= 0) return data_loss("column '__key__' is null");
    return std::move(key).value_or("");
  }

  static StatusOr<std::optional<std::string>> text(const ArrowStreamFile& file, int column,
                                                   int64_t row) {
    if (column < 0) return std::nullopt;
    TITAN_ASSIGN_OR_RETURN(const auto value, file.bytes(column, row));
    if (!value) return std::nullopt;
    return std::string(reinterpret_cast<const char*>(value->data()), value->size());
  }

  /// A file that is gone makes its sample a broken one, not the run.
  StatusOr<std::string> read_path(const std::string& path) const {
    StatusOr<std::string> contents = read_file((fs::path(folder_.path()) / path).string());
    if (!contents.ok() && contents.status().code() == absl::StatusCode::kNotFound)
      return data_loss(message_of(contents.status()));
    return contents;
  }

  SavedFolder folder_;
  std::vector<Columns> columns_;
  SavedImagesRules rules_;
  int64_t size_;
};

}  // namespace

StatusOr<std::unique_ptr<Dataset>> open_saved_images(const std::string& folder,
                                                     const SavedImagesRules& rules) {
  TITAN_ASSIGN_OR_RETURN(SavedFolder saved, SavedFolder::open(folder));
  std::vector<Columns> columns;
  for (const ArrowStreamFile& file : saved.files()) {
    TITAN_ASSIGN_OR_RETURN(columns.emplace_back(), Finder(file, rules).find());
  }
  if (saved.num_rows() == 0) return invalid_argument("[", rules.speaker, "] no rows in ", folder);
  return std::make_unique<SavedImages>(std::move(saved), std::move(columns), rules);
}

}  // namespace titan
