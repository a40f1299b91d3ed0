// find_bad.h: `titan convert-data find-bad`: the rows of an image set that cannot be read.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan::tools {

struct FindBadOptions {
  std::string input;         ///< a folder of tars, or of save_to_disk
  std::string output;        ///< the filter file; must not exist
  std::string causes = {};   ///< a table of index, name and cause; empty = none. Must not exist
  int64_t num_threads = 0;   ///< 0 = one a core
  double save_every_s = 20;  ///< how often the state is kept
  std::function<bool()> stop = {};  ///< asked after every row; true ends the search, its state kept
};

/// Reads and decodes every row; writes the indices of the unreadable ones, one a line. What has
/// been searched is kept in `<output>.progress`: the same call goes on from there (an error where
/// INPUT is another one by now) and removes it at the end. kCancelled where `stop` ended it.
Status find_bad(const FindBadOptions& options);

int find_bad_main(const std::vector<std::string>& args);

}  // namespace titan::tools
