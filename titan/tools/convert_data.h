// convert_data.h: `titan convert-data ACTION ...`: data sets from one form into another.
#pragma once

#include <string>
#include <vector>

namespace titan::tools {

/// Runs the action that the first word names; without one `format` (data/convert_format.h).
/// Returns the exit code.
int convert_data_main(const std::vector<std::string>& args);

}  // namespace titan::tools
