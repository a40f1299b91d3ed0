// A folder of images, each with its caption in a .txt file of the same stem.
#include <filesystem>
#include <system_error>
#include <utility>

#include "titan/base/log.h"
#include "titan/config/job_config.h"
#include "titan/data/builtin_datasets.h"
#include "titan/data/dataset_path.h"
#include "titan/data/image_sample.h"
#include "titan/data/sample_parts.h"
#include "titan/io/file_descriptor.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

class ImageFolder : public Dataset {
 public:
  ImageFolder(fs::path root, std::vector<std::string> files, const TrainingImageOptions& options)
      : root_(std::move(root)), files_(std::move(files)), options_(options) {}

  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  std::string describe(int64_t index) const override {
    return files_.at(static_cast<std::size_t>(index));
  }

  StatusOr<Sample> read(int64_t index, const DrawKey& key) const override {
    const std::string& name = files_.at(static_cast<std::size_t>(index));
    TITAN_ASSIGN_OR_RETURN(std::string caption, caption_of(name));
    TITAN_ASSIGN_OR_RETURN(const std::string bytes, read_file((root_ / name).string()));
    StatusOr<Sample> sample = image_sample(
        bytes, {.key = name, .caption = std::move(caption), .label = {}, .timestep = {}}, options_,
        index, key);
    if (!sample.ok()) return annotate(sample.status(), name);
    return sample;
  }

  std::string fingerprint() const override {
    Fingerprint fingerprint;
    for (const std::string& name : files_) fingerprint.add(name);
    return fingerprint.hex();
  }

 private:
  /// Empty where the picture has none. Line ends after the text are an editor's, not the caption's.
  StatusOr<std::string> caption_of(const std::string& name) const {
    const fs::path path = (root_ / name).replace_extension(".txt");
    std::error_code ignored;
    if (!fs::exists(path, ignored)) return std::string();
    TITAN_ASSIGN_OR_RETURN(std::string text, read_file(path.string()));
    while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
    return text;
  }

  fs::path root_;
  std::vector<std::string> files_;
  TrainingImageOptions options_;
};

}  // namespace

StatusOr<std::unique_ptr<Dataset>> open_image_folder(const JobConfig& config) {
  TITAN_ASSIGN_OR_RETURN(const fs::path root, dataset_path(config));
  std::error_code ignored;
  if (!fs::is_directory(root, ignored))
    return invalid_argument("[image_folder] training.dataset_path is no folder (", root.string(),
                            ")");
  TITAN_ASSIGN_OR_RETURN(std::vector<std::string> files, files_below(root, image_endings()));
  if (files.empty())
    return not_found("[image_folder] no images in ", root.string(), " (jpg, jpeg, png, webp)");
  return std::make_unique<ImageFolder>(root, std::move(files), training_image_options(config));
}

}  // namespace titan
