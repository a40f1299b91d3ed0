#include "titan/data/tar_set.h"

#include <filesystem>
#include <sstream>
#include <utility>

#include "titan/base/human.h"
#include "titan/base/log.h"
#include "titan/config/job_config.h"
#include "titan/data/dataset_path.h"
#include "titan/data/tar_files.h"
#include "titan/io/remote/s3.h"
#include "titan/io/remote/url.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxNamesBytes = 1 << 24;

HttpOptions http_options(const JobConfig& config) {
  return {.deadline_s = config.dataset.remote_deadline_s};
}

}  // namespace

StatusOr<std::shared_ptr<const TarSet>> TarSet::open(const JobConfig& config) {
  const auto set = std::make_shared<TarSet>();
  const std::string text = wanted_dataset_path(config);
  std::error_code ignored;
  if (names_shard_list(text)) {
    TITAN_RETURN_IF_ERROR(set->add_listed(text, config));
  } else {
    TITAN_ASSIGN_OR_RETURN(const std::vector<fs::path> paths, tar_paths(config));
    TITAN_RETURN_IF_ERROR(set->add_local({paths.begin(), paths.end()}, config));
  }
  if (set->samples_.total() == 0)
    return invalid_argument("[", config.training.dataset, "] no samples in ", shown_url(text), " (",
                            set->size(), set->size() == 1 ? " tar)" : " tars)");
  return std::shared_ptr<const TarSet>(set);
}

Status TarSet::add_local(const std::vector<std::string>& paths, const JobConfig& config) {
  TITAN_ASSIGN_OR_RETURN(
      std::vector<TarIndex> indexes,
      open_tars({paths.begin(), paths.end()}, config.dataset.num_workers, config.training.dataset));
  for (TarIndex& index : indexes) {
    TITAN_CHECK(samples_.add(index.num_samples()), "[data] too many samples");
    tars_.push_back({.name = fs::path(index.path()).filename().string(),
                     .location = index.path(),
                     .size_bytes = index.size_bytes(),
                     .local = std::make_shared<const TarIndex>(std::move(index))});
  }
  return ok_status();
}

Status TarSet::add_listed(const std::string& text, const JobConfig& config) {
  TITAN_ASSIGN_OR_RETURN(std::vector<ListedShard> shards, list_shards(text, http_options(config)));
  std::size_t num_remote = 0;
  for (const ListedShard& shard : shards) num_remote += shard.is_remote() ? 1 : 0;
  if (num_remote == 0) {
    std::vector<std::string> paths;
    for (const ListedShard& shard : shards) paths.push_back(shard.location);
    return add_local(paths, config);
  }
  if (num_remote < shards.size())
    return invalid_argument("[", config.training.dataset, "] ", shown_url(text),
                            " mixes tars on servers with local ones (", shards.size() - num_remote,
                            " of ", shards.size(), ")");
  TITAN_ASSIGN_OR_RETURN(remote_, RemoteTars::create(config.dataset, shards));
  TITAN_RETURN_IF_ERROR(remote_->learn_counts());
  const RemoteShards& fetched = remote_->shards();
  for (std::size_t tar = 0; tar < fetched.size(); ++tar) {
    const RemoteShard& shard = fetched.at(tar);
    if (!samples_.add(remote_->num_samples(tar)))
      return invalid_argument("[", config.training.dataset, "] too many samples");
    tars_.push_back({.name = url_basename(shard.url),
                     .location = shard.url,
                     .size_bytes = shard.file.size_bytes.value_or(0),
                     .local = nullptr});
  }
  fetched.warn_of_thrashing(config.training.shuffle);
  TITAN_LOG(INFO) << "[shards] " << size() << " tars on servers, " << samples_.total()
                  << " samples, " << human_bytes(static_cast<double>(fetched.total_bytes()));
  return ok_status();
}

StatusOr<OpenTar> TarSet::read(std::size_t tar) const {
  const Tar& wanted = tars_[tar];
  if (wanted.local == nullptr) return remote_->open(tar);
  TITAN_ASSIGN_OR_RETURN(std::shared_ptr<const FileDescriptor> file,
                         files_.get(wanted.local->data_path()));
  return OpenTar{.index = wanted.local, .file = std::move(file)};
}

void TarSet::expect(const std::vector<int64_t>& indices) const {
  if (remote_ != nullptr) remote_->shards().expect(samples_.segments_of(indices));
}

StatusOr<std::vector<std::string>> TarSet::class_names() const {
  std::vector<std::string> names;
  std::string text;
  if (remote_ != nullptr) {
    TITAN_ASSIGN_OR_RETURN(const HttpRequest request,
                           remote_request(url_folder(tars_.front().location) + "classes.txt"));
    StatusOr<std::string> fetched = http_get(request, remote_->shards().http(), kMaxNamesBytes);
    // S3 answers 403 for what is not there, where listing is not allowed.
    if (fetched.status().code() == absl::StatusCode::kNotFound ||
        fetched.status().code() == absl::StatusCode::kPermissionDenied)
      return names;
    TITAN_ASSIGN_OR_RETURN(text, std::move(fetched));
  } else {
    const fs::path path = fs::path(tars_.front().location).parent_path() / "classes.txt";
    std::error_code ignored;
    if (!fs::exists(path, ignored)) return names;
    TITAN_ASSIGN_OR_RETURN(text, read_file(path.string(), kMaxNamesBytes));
  }
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty()) names.push_back(line);
  }
  return names;
}

}  // namespace titan
