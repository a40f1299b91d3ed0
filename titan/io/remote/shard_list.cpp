#include "titan/io/remote/shard_list.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <utility>

#include "titan/base/printable.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/remote/brace_expansion.h"
#include "titan/io/remote/s3.h"
#include "titan/io/remote/shard_counts.h"
#include "titan/io/remote/url.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxListBytes = 256ULL << 20;
/// Beyond so many folders a request for each one's index.json costs more than it brings.
constexpr std::size_t kMaxIndexFolders = 64;

bool is_tar_name(const std::string& name) {
  for (const char* ending : {".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.zst", ".tar.bz2"})
    if (name.ends_with(ending)) return true;
  return false;
}

StatusOr<std::string> fetch_text(const std::string& url, const HttpOptions& options) {
  TITAN_ASSIGN_OR_RETURN(const HttpRequest request, remote_request(url));
  return http_get(request, options, kMaxListBytes);
}

/// "a::b" and "http://a,http://b" in parts.
std::vector<std::string> joined_parts(const std::string& text) {
  std::vector<std::string> parts;
  std::size_t start = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const bool colons = text.compare(at, 2, "::") == 0;
    const bool comma = text[at] == ',' && is_remote_url(text.substr(at + 1));
    if (!colons && !comma) continue;
    parts.push_back(text.substr(start, at - start));
    start = at + (colons ? 2 : 1);
    at = start - 1;
  }
  parts.push_back(text.substr(start));
  return parts;
}

class Lister {
 public:
  explicit Lister(const HttpOptions& options) : options_(options) {}

  Status add(const std::string& text, const std::string& beside, int depth) {
    if (text.starts_with('@')) return add_list(resolved(text.substr(1), beside), depth);
    for (const std::string& part : joined_parts(text)) {
      TITAN_ASSIGN_OR_RETURN(const std::vector<std::string> names, expand_braces(part));
      for (const std::string& name : names)
        TITAN_RETURN_IF_ERROR(add_one(resolved(name, beside), depth));
    }
    return ok_status();
  }

  /// Fills in what index.json beside the remote tars says.
  Status add_counts() {
    std::set<std::string> folders;
    for (const ListedShard& shard : shards_)
      if (shard.is_remote() && !shard.num_samples) folders.insert(url_folder(shard.location));
    if (folders.size() > kMaxIndexFolders) return ok_status();
    for (const std::string& folder : folders) {
      const StatusOr<std::string> text = fetch_text(folder + "index.json", options_);
      if (text.status().code() == absl::StatusCode::kUnavailable) return text.status();
      if (!text.ok() || !is_shard_counts(*text)) continue;
      TITAN_ASSIGN_OR_RETURN(const std::vector<ShardCount> counts,
                             parse_shard_counts(*text, shown_url(folder) + "index.json"));
      std::map<std::string, const ShardCount*> by_url;
      for (const ShardCount& count : counts) by_url[resolved(count.url, folder)] = &count;
      for (ListedShard& shard : shards_)
        if (const auto known = by_url.find(shard.location); known != by_url.end())
          apply(*known->second, shard);
    }
    return ok_status();
  }

  std::vector<ListedShard> take() { return std::move(shards_); }

 private:
  /// A name in a list lies beside the list. `beside` ends in '/', or is empty.
  static std::string resolved(const std::string& name, const std::string& beside) {
    const bool whole = beside.empty() || is_remote_url(name) || name.starts_with('/');
    return whole ? name : beside + name;
  }

  static void apply(const ShardCount& count, ListedShard& shard) {
    shard.num_samples = count.num_samples;
    if (!shard.file.size_bytes) shard.file.size_bytes = count.size_bytes;
  }

  Status add_one(const std::string& name, int depth) {
    const std::string last = is_remote_url(name) ? url_basename(name) : name;
    if (last.ends_with(".txt")) return add_list(name, depth);
    if (!is_remote_url(name)) return add_shard({.location = name, .file = {}, .num_samples = {}});
    if (is_s3_url(name) && last.empty()) return add_bucket(name);
    if (last.empty()) return add_index(name + "index.json", name);
    if (last.ends_with(".json")) return add_index(name, name);
    if (is_s3_url(name) && !is_tar_name(last))
      return invalid_argument("[shards] ", printable(name, 300),
                              " is no tar (all tars below it: end it with '/')");
    return add_shard({.location = name, .file = {}, .num_samples = {}});
  }

  Status add_shard(ListedShard shard) {
    if (seen_.insert(shard.location).second) shards_.push_back(std::move(shard));
    return ok_status();
  }

  Status add_bucket(const std::string& url) {
    TITAN_ASSIGN_OR_RETURN(const std::vector<S3Object> objects, list_s3(url, options_));
    const std::size_t before = shards_.size();
    for (const S3Object& object : objects)
      if (is_tar_name(object.url))
        TITAN_RETURN_IF_ERROR(add_shard(
            {.location = object.url,
             .file = {.size_bytes = object.size_bytes, .etag = object.etag, .last_modified = {}},
             .num_samples = {}}));
    if (shards_.size() == before)
      return not_found("[shards] no tars below ", printable(url, 300), " (", objects.size(),
                       " objects)");
    return ok_status();
  }

  Status add_index(const std::string& index, const std::string& asked) {
    StatusOr<std::string> text = fetch_text(index, options_);
    if (text.status().code() == absl::StatusCode::kNotFound && index != asked)
      return not_found("[shards] ", shown_url(asked),
                       " has no index.json, and a web server lists no folder: write "
                       "one with `titan index-shards FOLDER` on the server's side, or name the "
                       "tars (shard-{0000..0099}.tar)");
    if (!text.ok()) return text.status();
    TITAN_ASSIGN_OR_RETURN(const std::vector<ShardCount> counts,
                           parse_shard_counts(*text, shown_url(index)));
    for (const ShardCount& count : counts) {
      ListedShard shard{
          .location = resolved(count.url, url_folder(index)), .file = {}, .num_samples = {}};
      if (!is_remote_url(shard.location))
        return data_loss("[shards] ", shown_url(index), " lists a local path (",
                         printable(count.url, 300), ")");
      apply(count, shard);
      TITAN_RETURN_IF_ERROR(add_shard(std::move(shard)));
    }
    return ok_status();
  }

  Status add_list(const std::string& name, int depth) {
    if (depth == 0) return invalid_argument("[shards] lists of lists of lists: ", shown_url(name));
    const bool remote = is_remote_url(name);
    TITAN_ASSIGN_OR_RETURN(const std::string text,
                           remote ? fetch_text(name, options_) : read_file(name, kMaxListBytes));
    const std::string parent = fs::path(name).parent_path().string();
    const std::string beside = remote ? url_folder(name) : parent.empty() ? "" : parent + "/";
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      const std::size_t first = line.find_first_not_of(" \t\r");
      if (first == std::string::npos || line[first] == '#') continue;
      line = line.substr(first, line.find_last_not_of(" \t\r") + 1 - first);
      TITAN_RETURN_IF_ERROR(add(line, beside, depth - 1));
    }
    return ok_status();
  }

  const HttpOptions& options_;
  std::vector<ListedShard> shards_;
  std::set<std::string> seen_;
};

}  // namespace

bool ListedShard::is_remote() const { return is_remote_url(location); }

bool names_shard_list(const std::string& text) {
  std::error_code ignored;
  if (is_remote_url(text) || text.starts_with('@')) return true;
  if (text.ends_with(".txt")) return true;
  return text.find('{') != std::string::npos && !fs::exists(text, ignored);
}

StatusOr<std::vector<ListedShard>> list_shards(const std::string& text,
                                               const HttpOptions& options) {
  Lister lister(options);
  TITAN_RETURN_IF_ERROR(lister.add(text, "", /*depth=*/2));
  TITAN_RETURN_IF_ERROR(lister.add_counts());
  std::vector<ListedShard> shards = lister.take();
  if (shards.empty()) return not_found("[shards] no shards in ", shown_url(text));
  return shards;
}

}  // namespace titan
