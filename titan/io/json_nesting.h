// json_nesting.h: a look at a JSON text before it is parsed as a whole.
#pragma once

#include <string_view>

namespace titan {

/// True where lists and objects lie in each other deeper than any file that we read has a use for
/// (64 levels). The library parses such a text without harm, but copies, compares and prints what
/// came of it by recursion: 100,000 brackets in a row end the process.
bool nests_too_deep(std::string_view json);

}  // namespace titan
