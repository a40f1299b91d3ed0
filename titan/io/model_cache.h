// model_cache.h: models in a Hugging Face cache, whose folders are named after the model's id:
// models--google--t5-v1_1-xxl/{refs/main, snapshots/<revision>/, blobs/}. No torch.
#pragma once

#include <string>

#include "titan/base/status.h"

namespace titan {

/// The file or folder that `path` means: itself; of a folder of a cache (models--...) the revision
/// that refs/main names, else its only one; of a folder of such folders the only one, or the only
/// one whose name contains `role` ("t5"). What does not exist may be an id ("google/t5-v1_1-xxl"),
/// also behind a cache's folder ("/cache/hub/google/t5-v1_1-xxl"); bare ids are looked up in the
/// caches that HF_HUB_CACHE, HF_HOME or XDG_CACHE_HOME name, else ~/.cache/huggingface/hub.
/// kNotFound lists where it was looked for.
StatusOr<std::string> resolve_model_path(const std::string& path, const std::string& role = "");

}  // namespace titan
