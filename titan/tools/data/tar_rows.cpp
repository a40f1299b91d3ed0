// Rows of webdataset tars.
#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <future>
#include <mutex>
#include <utility>
#include <vector>

#include "titan/base/hash.h"
#include "titan/base/log.h"
#include "titan/base/segments.h"
#include "titan/io/errno_status.h"
#include "titan/io/open_files.h"
#include "titan/io/tar_index.h"
#include "titan/tools/data/image_rows.h"

namespace titan::tools {
namespace {

namespace fs = std::filesystem;

constexpr std::array kImageExtensions = {"jpg", "jpeg", "png", "webp"};
constexpr std::array kTarEndings = {".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.zst", ".tar.bz2"};
constexpr std::uint64_t kMaxMemberBytes = std::uint64_t{1} << 31;

struct Tar {
  std::string path;
  std::uint64_t size_bytes = 0;
};

StatusOr<std::vector<Tar>> list_tars(const std::string& path, const std::string& action) {
  std::vector<std::string> paths;
  std::error_code error;
  if (!fs::exists(path, error))
    return not_found("[", action, "] no such file or folder (", path, ")");
  if (fs::is_directory(path, error)) {
    fs::directory_iterator entry(path, error);
    for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
      const std::string name = entry->path().filename().string();
      const bool is_tar = std::any_of(kTarEndings.begin(), kTarEndings.end(),
                                      [&](const char* ending) { return name.ends_with(ending); });
      if (is_tar && !name.starts_with('.')) paths.push_back(entry->path().string());
    }
    if (error) return errno_status(error.value(), "list folder", path);
    std::sort(paths.begin(), paths.end());
  } else {
    paths.push_back(path);
  }
  if (paths.empty()) return not_found("[", action, "] no tars in ", path);
  std::vector<Tar> tars;
  for (std::string& each : paths) {
    TITAN_ASSIGN_OR_RETURN(const FileStamp stamp, file_stamp(each));
    tars.push_back({std::move(each), stamp.size_bytes});
  }
  return tars;
}

class TarRows : public ImageRows {
 public:
  TarRows(std::vector<Tar> tars, std::string action)
      : tars_(std::move(tars)), action_(std::move(action)) {
    for (const Tar& tar : tars_) total_bytes_ += tar.size_bytes;
  }

  StatusOr<std::optional<ImageRow>> read(int64_t index) const override {
    TITAN_ASSIGN_OR_RETURN(const Place place, find(index));
    if (place.tar == nullptr) return std::nullopt;
    const TarSample sample = place.tar->sample(place.row);
    ImageRow row{.key = sample.key, .url = fs::path(place.tar->path()).filename().string()};
    if (sample.damaged) row.damage = place.tar->damage();
    for (const char* extension : kImageExtensions) {
      if (sample.find(extension) == nullptr) continue;
      row.image_extension = extension;
      break;
    }
    const auto load = [&](const std::string& extension, std::optional<std::string>& into) {
      return load_member(*place.tar, sample, extension, into, row.damage);
    };
    TITAN_RETURN_IF_ERROR(load(row.image_extension, row.image));
    TITAN_RETURN_IF_ERROR(load("txt", row.txt));
    TITAN_RETURN_IF_ERROR(load("json", row.json));
    return row;
  }

  double share_before(int64_t index) const override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (index >= rows_.total())
      return total_bytes_ == 0
                 ? 1
                 : static_cast<double>(opened_bytes_) / static_cast<double>(total_bytes_);
    const auto [tar, row] = rows_.find(index);
    double bytes = 0;
    for (std::size_t i = 0; i < tar; ++i) bytes += static_cast<double>(tars_[i].size_bytes);
    bytes += static_cast<double>(tars_[tar].size_bytes) * static_cast<double>(row) /
             static_cast<double>(open_[tar]->num_samples());
    return bytes / static_cast<double>(total_bytes_);
  }

  std::string fingerprint() const override {
    Xxh3Stream hash;
    for (const Tar& tar : tars_) {
      const std::string line =
          str_cat(fs::path(tar.path).filename().string(), " ", tar.size_bytes, "\n");
      hash.update(line.data(), line.size());
    }
    return hash.hex();
  }

 private:
  struct Place {
    const TarIndex* tar = nullptr;
    int64_t row = 0;
  };

  /// Opens tars until one holds the row.
  StatusOr<Place> find(int64_t index) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    while (index >= rows_.total() && open_.size() < tars_.size())
      TITAN_RETURN_IF_ERROR(open_next());
    if (index >= rows_.total()) return Place{};
    const auto [tar, row] = rows_.find(index);
    return Place{open_[tar].get(), row};
  }

  /// The one behind it is walked in the background meanwhile.
  Status open_next() const {
    const auto start = [this](std::size_t i) {
      return std::async(std::launch::async, &TarIndex::open, tars_[i].path);
    };
    const std::size_t i = open_.size();
    if (!ahead_.valid()) ahead_ = start(i);
    StatusOr<TarIndex> tar = ahead_.get();
    if (i + 1 < tars_.size()) ahead_ = start(i + 1);
    if (!tar.ok()) return annotate(tar.status(), "[" + action_ + "]");
    if (const std::string damage = tar->damage(); !damage.empty())
      TITAN_LOG(WARNING) << "[" << action_ << "] " << damage << "; it has " << tar->num_samples()
                         << " rows up to there";
    TITAN_CHECK(rows_.add(tar->num_samples()), "[tar] too many rows");
    opened_bytes_ += tars_[i].size_bytes;
    open_.push_back(std::make_unique<TarIndex>(*std::move(tar)));
    return ok_status();
  }

  Status load_member(const TarIndex& tar, const TarSample& sample, const std::string& extension,
                     std::optional<std::string>& into, std::string& damage) const {
    const TarField* field = sample.find(extension);
    if (field == nullptr) return ok_status();
    if (field->size_bytes > kMaxMemberBytes) {
      damage = str_cat("member ", extension, " is too large (", field->size_bytes, " bytes)");
      return ok_status();
    }
    TITAN_ASSIGN_OR_RETURN(const std::shared_ptr<const FileDescriptor> file,
                           files_.get(tar.data_path()));
    into.emplace(field->size_bytes, '\0');
    return read_exactly(*file, field->offset, into->data(), into->size(), tar.data_path());
  }

  std::vector<Tar> tars_;
  std::string action_;
  std::uint64_t total_bytes_ = 0;
  mutable OpenFiles files_;
  mutable std::mutex mutex_;  ///< of what follows
  mutable std::vector<std::unique_ptr<TarIndex>> open_;
  mutable Segments rows_;  ///< of the open tars
  mutable std::future<StatusOr<TarIndex>> ahead_;
  mutable std::uint64_t opened_bytes_ = 0;
};

}  // namespace

StatusOr<std::unique_ptr<ImageRows>> open_tar_rows(const std::string& path,
                                                   const std::string& action) {
  TITAN_ASSIGN_OR_RETURN(std::vector<Tar> tars, list_tars(path, action));
  return std::make_unique<TarRows>(std::move(tars), action);
}

}  // namespace titan::tools
