// captions.h: captions as a list of texts, wherever they are stored.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan {

/// Reads at most `max_captions` captions: the lines of a text file, or of a folder the captions of
/// its webdataset tars (member txt, else json's key "caption"), or, where it has none, its .txt
/// files, one caption each. In stored order, files sorted by name; empty ones are left out. An
/// error names the path where nothing is found.
StatusOr<std::vector<std::string>> read_captions(const std::string& path,
                                                 std::int64_t max_captions);

}  // namespace titan
