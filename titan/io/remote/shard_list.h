// shard_list.h: from what a user writes as training.dataset_path to a list of tars.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/remote/http.h"

namespace titan {

struct ListedShard {
  std::string location;  ///< an address (is_remote_url), or a local path
  RemoteFile file;       ///< what is known so far
  std::optional<std::int64_t> num_samples;

  bool is_remote() const;
};

/// True where `text` is for list_shards(): an address, a list (@FILE or *.txt), or a path with
/// braces. Everything else is a plain local file, folder or glob.
bool names_shard_list(const std::string& text);

/// The tars in the order written, each once:
///   https://host/train-{0000..2175}.tar   braces; several joined by "::" or ",https://"
///   https://host/folder/                  what its index.json lists (shard_counts.h)
///   https://host/any.json                 the same, under another name
///   s3://bucket/prefix/                   all tars below it, sorted
///   @FILE, FILE.txt, https://host/a.txt   one of these or a path a line; # begins a comment; names
///                                         without a folder lie beside the list
///   data/train-{00..09}.tar               local files
/// Sample counts and sizes come from index.json beside remote tars where there is one.
StatusOr<std::vector<ListedShard>> list_shards(const std::string& text, const HttpOptions& options);

}  // namespace titan
