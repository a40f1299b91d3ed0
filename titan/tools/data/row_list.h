// row_list.h: files that list rows, one index a line, as the reference's filter file does.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan::tools {

/// Indices >= 0, sorted, each once; empty lines are passed over. Errors name file and line.
StatusOr<std::vector<int64_t>> read_row_list(const std::string& path);

/// One a line.
std::string render_row_list(const std::vector<int64_t>& rows);

/// The 141 rows of cc12m that the reference's cleaning drops, ascending.
std::span<const int64_t> cc12m_problematic_indices();

}  // namespace titan::tools
