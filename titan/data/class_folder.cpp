// Class folders, as ImageNet is unpacked: <root>/<class>/**/<image>. Classes are the sub-folders in
// sorted order.
#include <algorithm>
#include <filesystem>
#include <utility>

#include "titan/config/job_config.h"
#include "titan/data/builtin_datasets.h"
#include "titan/data/dataset_path.h"
#include "titan/data/image_sample.h"
#include "titan/data/sample_parts.h"
#include "titan/io/errno_status.h"
#include "titan/io/file_descriptor.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

struct Entry {
  std::string path;  ///< relative to the root
  int64_t label = 0;
};

class ClassFolder : public Dataset {
 public:
  ClassFolder(fs::path root, std::vector<std::string> names, std::vector<Entry> entries,
              const TrainingImageOptions& options, int64_t num_classes)
      : root_(std::move(root)),
        names_(std::move(names)),
        entries_(std::move(entries)),
        options_(options),
        num_classes_(num_classes) {}

  int64_t size() const override { return static_cast<int64_t>(entries_.size()); }

  StatusOr<Sample> read(int64_t index, const DrawKey& key) const override {
    const Entry& entry = entries_.at(static_cast<std::size_t>(index));
    TITAN_ASSIGN_OR_RETURN(const std::string bytes, read_file((root_ / entry.path).string()));
    StatusOr<Sample> sample = image_sample(bytes,
                                           {.key = entry.path,
                                            .caption = "a photo of a " + names_[entry.label],
                                            .label = entry.label,
                                            .timestep = {}},
                                           options_, index, key);
    if (!sample.ok()) return annotate(sample.status(), entry.path);
    return sample;
  }

  std::string describe(int64_t index) const override {
    return entries_.at(static_cast<std::size_t>(index)).path;
  }
  std::optional<int64_t> label_of(int64_t index) const override {
    return entries_.at(static_cast<std::size_t>(index)).label;
  }
  int64_t num_classes() const override { return num_classes_; }
  std::vector<std::string> class_names() const override { return names_; }

  std::string fingerprint() const override {
    Fingerprint fingerprint;
    for (const Entry& entry : entries_) fingerprint.add(entry.path);
    return fingerprint.hex();
  }

 private:
  fs::path root_;
  std::vector<std::string> names_;
  std::vector<Entry> entries_;
  TrainingImageOptions options_;
  int64_t num_classes_;
};

StatusOr<std::vector<std::string>> class_names_in(const fs::path& root) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator entry(root, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::error_code ignored;
    const std::string name = entry->path().filename().string();
    if (!name.starts_with('.') && entry->is_directory(ignored)) names.push_back(name);
  }
  if (error) return errno_status(error.value(), "list folder", root.string());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

StatusOr<std::unique_ptr<Dataset>> open_class_folder(const JobConfig& config) {
  TITAN_ASSIGN_OR_RETURN(const fs::path root, dataset_path(config));
  TITAN_ASSIGN_OR_RETURN(std::vector<std::string> names, class_names_in(root));
  std::vector<Entry> entries;
  for (std::size_t label = 0; label < names.size(); ++label) {
    TITAN_ASSIGN_OR_RETURN(const std::vector<std::string> found,
                           files_below(root / names[label], image_endings()));
    for (const std::string& path : found)
      entries.push_back({names[label] + "/" + path, static_cast<int64_t>(label)});
  }
  if (entries.empty())
    return not_found("[class_folder] no images in ", root.string(),
                     " (one sub-folder per class; jpg, jpeg, png, webp)");
  const auto found = static_cast<int64_t>(names.size());
  const int64_t num_classes = config.dataset.num_classes > 0 ? config.dataset.num_classes : found;
  if (found > num_classes)
    return invalid_argument("[class_folder] ", root.string(), " has ", found,
                            " classes, more than dataset.num_classes = ", num_classes);
  return std::make_unique<ClassFolder>(root, std::move(names), std::move(entries),
                                       training_image_options(config), num_classes);
}

}  // namespace titan
