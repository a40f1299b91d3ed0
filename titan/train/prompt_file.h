// prompt_file.h: prompts to draw, one a line of a text file. No torch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan {

struct PromptFile {
  std::vector<std::string> prompts;  ///< in order of their lines; UTF-8, never blank
  int64_t blank_lines = 0;           ///< left out
};

/// Reads UTF-8 text, with or without a byte order mark; lines end in LF or CR LF. Errors name the
/// file and the line: it cannot be read, a line is not UTF-8 or holds a zero byte, no line has a
/// prompt.
StatusOr<PromptFile> read_prompt_file(const std::string& path);

}  // namespace titan
