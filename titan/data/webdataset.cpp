// Webdataset: tars whose consecutive members <key>.<extension> make up a sample.
#include <glob.h>
#include <algorithm>
#include <filesystem>
#include <mutex>
#include <optional>
#include <sstream>
#include <thread>
#include <utility>

#include "titan/base/log.h"
#include "titan/config/job_config.h"
#include "titan/data/builtin_datasets.h"
#include "titan/data/sample_parts.h"
#include "titan/data/webdataset_fields.h"
#include "titan/io/open_files.h"
#include "titan/io/tar_index.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxMemberBytes = 1ULL << 31;

const TarField* image_of(const TarSample& sample) {
  for (const char* extension : {"jpg", "jpeg", "png", "webp"})
    if (const TarField* field = sample.find(extension)) return field;
  return nullptr;
}

std::string extensions_of(const TarSample& sample) {
  std::string list;
  for (const TarField& field : sample.fields) list += (list.empty() ? "" : ", ") + field.extension;
  return list;
}

class WebDataset : public Dataset {
 public:
  WebDataset(std::vector<TarIndex> tars, std::vector<std::string> names, std::string label_field,
             const TrainingImageOptions& options, int64_t num_classes)
      : tars_(std::move(tars)),
        names_(std::move(names)),
        label_field_(std::move(label_field)),
        options_(options),
        num_classes_(num_classes) {
    for (const TarIndex& tar : tars_) {
      size_ += tar.num_samples();
      ends_.push_back(size_);
    }
  }

  int64_t size() const override { return size_; }

  StatusOr<Sample> read(int64_t index, const DrawKey& key) const override {
    const auto [tar, row] = find(index);
    const TarSample stored = tar->sample(row);
    StatusOr<Sample> sample = decode(*tar, stored, index, key);
    if (!sample.ok()) return annotate(sample.status(), name_of(*tar, stored));
    return sample;
  }

  std::string describe(int64_t index) const override {
    const auto [tar, row] = find(index);
    return name_of(*tar, tar->sample(row));
  }

  std::optional<int64_t> label_of(int64_t index) const override {
    const auto [tar, row] = find(index);
    const StatusOr<TextFields> fields = text_fields(*tar, tar->sample(row));
    return fields.ok() ? fields->label : std::nullopt;
  }

  int64_t num_classes() const override { return num_classes_; }
  std::vector<std::string> class_names() const override { return names_; }

  std::string fingerprint() const override {
    Fingerprint fingerprint;
    for (const TarIndex& tar : tars_)
      fingerprint.add(fs::path(tar.path()).filename().string(), " ", tar.size_bytes(), " ",
                      tar.num_samples());
    return fingerprint.hex();
  }

 private:
  std::pair<const TarIndex*, int64_t> find(int64_t index) const {
    TITAN_CHECK(index >= 0 && index < size_, "[webdataset] sample out of range (", index, " of ",
                size_, ")");
    const auto tar = static_cast<std::size_t>(std::upper_bound(ends_.begin(), ends_.end(), index) -
                                              ends_.begin());
    return {&tars_[tar], index - (tar == 0 ? 0 : ends_[tar - 1])};
  }

  /// "shapes-0001.tar:000123.jpg"
  static std::string name_of(const TarIndex& tar, const TarSample& sample) {
    const TarField* image = image_of(sample);
    return str_cat(fs::path(tar.path()).filename().string(), ":", sample.key,
                   image == nullptr ? "" : "." + image->extension);
  }

  StatusOr<std::string> contents(const TarIndex& tar, const TarField& field) const {
    if (field.size_bytes > kMaxMemberBytes)
      return data_loss("member ", field.extension, " is too large (", field.size_bytes, " bytes)");
    TITAN_ASSIGN_OR_RETURN(const std::shared_ptr<const FileDescriptor> file,
                           files_.get(tar.data_path()));
    std::string bytes(field.size_bytes, '\0');
    TITAN_RETURN_IF_ERROR(
        read_exactly(*file, field.offset, bytes.data(), bytes.size(), tar.data_path()));
    return bytes;
  }

  StatusOr<TextFields> text_fields(const TarIndex& tar, const TarSample& sample) const {
    TextMembers members;
    const auto load = [&](const std::string& extension,
                          std::optional<std::string>& into) -> Status {
      const TarField* field = sample.find(extension);
      if (field == nullptr) return ok_status();
      TITAN_ASSIGN_OR_RETURN(into, contents(tar, *field));
      return ok_status();
    };
    TITAN_RETURN_IF_ERROR(load("txt", members.txt));
    TITAN_RETURN_IF_ERROR(load("json", members.json));
    TITAN_RETURN_IF_ERROR(load(label_field_, members.label));
    return decode_text_members(members, label_field_);
  }

  StatusOr<Sample> decode(const TarIndex& tar, const TarSample& stored, int64_t index,
                          const DrawKey& key) const {
    if (stored.damaged) return data_loss(tar.damage());
    const TarField* field = image_of(stored);
    if (field == nullptr)
      return data_loss("no jpg, jpeg, png or webp member (the sample has: ", extensions_of(stored),
                       ")");
    TITAN_ASSIGN_OR_RETURN(TextFields text, text_fields(tar, stored));
    Sample sample;
    if (num_classes_ > 0) {
      if (!text.label)
        return data_loss("no class: neither a member nor a json key '", label_field_, "'");
      TITAN_RETURN_IF_ERROR(check_label(*text.label, num_classes_));
    }
    TITAN_ASSIGN_OR_RETURN(const std::string bytes, contents(tar, *field));
    TITAN_ASSIGN_OR_RETURN(
        const Image image,
        load_training_image(
            {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, options_,
            {.seed = key.seed, .epoch = key.epoch, .sample = static_cast<std::uint64_t>(index)}));
    sample.fields.set("image", image_tensor(image));
    if (num_classes_ > 0) sample.fields.set("label", label_tensor(*text.label));
    sample.caption = std::move(text.caption);
    return sample;
  }

  std::vector<TarIndex> tars_;
  std::vector<std::string> names_;
  std::string label_field_;
  TrainingImageOptions options_;
  int64_t num_classes_;
  std::vector<int64_t> ends_;  ///< index behind the last sample of each tar
  int64_t size_ = 0;
  mutable OpenFiles files_;
};

const std::vector<std::string>& tar_endings() {
  static const std::vector<std::string> endings = {".tar",    ".tar.gz",  ".tgz",
                                                   ".tar.xz", ".tar.zst", ".tar.bz2"};
  return endings;
}

/// The tars that training.dataset_path means, in sorted order.
StatusOr<std::vector<fs::path>> tar_paths(const JobConfig& config) {
  const std::string pattern = config.training.dataset_path.value_or("");
  std::error_code ignored;
  if (!fs::exists(pattern, ignored) && pattern.find_first_of("*?[") != std::string::npos) {
    glob_t found{};
    const int result = ::glob(pattern.c_str(), GLOB_TILDE, nullptr, &found);
    std::vector<fs::path> paths(found.gl_pathv, found.gl_pathv + found.gl_pathc);  // glob sorts
    ::globfree(&found);
    if (result != 0 || paths.empty())
      return not_found("[webdataset] no file fits training.dataset_path (", pattern, ")");
    return paths;
  }
  TITAN_ASSIGN_OR_RETURN(const fs::path path, dataset_path(config));
  if (!fs::is_directory(path, ignored)) return std::vector<fs::path>{path};
  TITAN_ASSIGN_OR_RETURN(std::vector<fs::path> paths, files_ending_in(path, tar_endings()));
  if (paths.empty()) return not_found("[webdataset] no tars in ", path.string());
  return paths;
}

/// Opens all indexes, several at a time: the first run walks every tar, and a network file system
/// answers slowly.
StatusOr<std::vector<TarIndex>> open_indexes(const std::vector<fs::path>& paths,
                                             int64_t num_threads) {
  std::vector<TarIndex> tars(paths.size());
  std::vector<Status> problems(paths.size());
  std::mutex mutex;
  std::size_t next = 0;
  const auto work = [&] {
    for (;;) {
      std::size_t mine = 0;
      {
        const std::lock_guard<std::mutex> lock(mutex);
        if (next == paths.size()) return;
        mine = next++;
      }
      StatusOr<TarIndex> tar = TarIndex::open(paths[mine].string());
      problems[mine] = tar.status();
      if (tar.ok()) tars[mine] = *std::move(tar);
    }
  };
  {
    const auto wanted = std::min(paths.size(), static_cast<std::size_t>(num_threads));
    std::vector<std::jthread> threads;
    for (std::size_t i = 1; i < wanted; ++i) threads.emplace_back(work);
    work();
  }
  for (const Status& problem : problems) TITAN_RETURN_IF_ERROR(problem);
  return tars;
}

/// Lines of classes.txt beside the tars; empty where there is none.
StatusOr<std::vector<std::string>> read_class_names(const fs::path& folder) {
  std::vector<std::string> names;
  const fs::path path = folder / "classes.txt";
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return names;
  TITAN_ASSIGN_OR_RETURN(const std::string text, read_file(path.string(), 1 << 24));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty()) names.push_back(line);
  }
  return names;
}

}  // namespace

StatusOr<std::unique_ptr<Dataset>> open_webdataset(const JobConfig& config) {
  TITAN_ASSIGN_OR_RETURN(const std::vector<fs::path> paths, tar_paths(config));
  TITAN_ASSIGN_OR_RETURN(std::vector<TarIndex> tars,
                         open_indexes(paths, config.dataset.num_workers));
  int64_t num_samples = 0;
  for (const TarIndex& tar : tars) {
    num_samples += tar.num_samples();
    if (const std::string damage = tar.damage(); !damage.empty())
      TITAN_LOG(WARNING) << damage << "; the " << tar.num_samples()
                         << " samples up to there are used";
  }
  if (num_samples == 0)
    return invalid_argument("[webdataset] ", *config.training.dataset_path, " holds no samples (",
                            paths.size(), " tars)");
  TITAN_ASSIGN_OR_RETURN(std::vector<std::string> names,
                         read_class_names(paths.front().parent_path()));
  const int64_t num_classes = config.dataset.num_classes > 0 ? config.dataset.num_classes
                                                             : static_cast<int64_t>(names.size());
  const std::string& label_field = config.dataset.label_field;
  for (const TarIndex& tar : tars) {
    if (tar.num_samples() == 0) continue;
    if (num_classes == 0 && tar.sample(0).find(label_field) != nullptr)
      return invalid_argument(
          "[webdataset] samples have a class (member ", label_field,
          ") but their number is unknown: set dataset.num_classes, or put class names into "
          "classes.txt beside the tars");
    break;
  }
  return std::make_unique<WebDataset>(std::move(tars), std::move(names), label_field,
                                      training_image_options(config), num_classes);
}

}  // namespace titan
