// convert_format.h: `titan convert-data [format]`: preprocessed samples from one file format into
// the other.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan::tools {

struct ConvertFormatOptions {
  std::string input;           ///< a folder of either format (data/encoded_rows.h)
  std::string output;          ///< must not exist, or be empty; appears whole or not at all
  std::string format;          ///< "rows" or "arrow"; empty = the other one
  int64_t bytes_per_file = 0;  ///< 0: 4 GB of rows, 500 MB of Arrow
};

/// Every row is checked on the way (shapes, timestep, NaN): the first bad one ends the conversion,
/// named.
Status convert_format(const ConvertFormatOptions& options);

/// `titan convert-data [format] INPUT OUTPUT ...`; returns the exit code.
int convert_format_main(const std::vector<std::string>& args);

}  // namespace titan::tools
