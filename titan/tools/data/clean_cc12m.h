// clean_cc12m.h: `titan convert-data clean-cc12m`: the training samples of the Flux job.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan::tools {

struct CleanCc12mOptions {
  std::string input;                ///< a folder of cc12m's tars
  std::string output;               ///< must not exist, or be empty; appears whole or not at all
  std::string filter = {};          ///< a file of rows to drop; empty = the 141 published ones
  int64_t output_size = 256;        ///< of the square pictures; smaller images are left out
  int64_t subset_size = 1'099'776;  ///< the first so many that are left
  bool drop_bad = false;  ///< leave out rows that cannot be read, named, instead of ending
  int64_t bytes_per_file = 500'000'000;
  int64_t num_threads = 0;  ///< 0 = one a core
};

/// Writes the folder of save_to_disk that the reference calls cc12m_disk (cc12m_row.h). A row that
/// is not in the filter and cannot be read is an error that names row, tar and key; so is a damaged
/// tar. Fewer rows than subset_size are a warning.
Status clean_cc12m(const CleanCc12mOptions& options);

int clean_cc12m_main(const std::vector<std::string>& args);

}  // namespace titan::tools
