// cache_folder.h: where what can be made again is kept.
#pragma once

#include <string>

#include "titan/base/status.h"

namespace titan {

/// `${TITAN_CACHE:-~/.cache/titan}/<name>`, made if absent. An error where neither variable nor
/// home is set, or the folder cannot be made.
StatusOr<std::string> cache_folder(const std::string& name);

}  // namespace titan
