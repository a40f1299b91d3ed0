// convert.h: `titan convert`: weights under other names, in another type, in other files.
#pragma once

#include <string>
#include <vector>

namespace titan {

/// `titan convert INPUT OUTPUT --to=FORMAT [options]`; returns the exit code.
int convert_main(const std::vector<std::string>& args);

}  // namespace titan
