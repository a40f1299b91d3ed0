// index_shards.h: the verb `titan index-shards`: index.json beside tars, for jobs that read them
// from a server.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan {

/// Counts the samples of every tar in `folder` and writes index.json there (shard_counts.h). An
/// index.json of another kind is not written over.
Status index_shards(const std::string& folder, std::int64_t num_threads);

/// `titan index-shards ...`; returns the exit code.
int index_shards_main(const std::vector<std::string>& args);

}  // namespace titan
