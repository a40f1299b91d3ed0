// toml_nesting.h: refuses TOML whose nesting would end the process, before the library sees it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace titan::config {

/// What is wrong with a file's nesting, and in which line.
struct DeepLine {
  std::size_t line = 0;  ///< from 1; 0: nothing is wrong
  std::string text;
};

/// Finds the first key (or name of a table) of more than 200 parts, or the first value of more than
/// 32 lists and tables in each other. toml++ makes a table in a table of each part and ends them by
/// recursion; its own limit of nesting counts brackets only.
DeepLine find_deep_line(std::string_view toml);

}  // namespace titan::config
