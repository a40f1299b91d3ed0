#include "titan/tools/data/row_list.h"

#include <algorithm>
#include <charconv>
#include <sstream>

#include "titan/io/file_descriptor.h"

namespace titan::tools {

StatusOr<std::vector<int64_t>> read_row_list(const std::string& path) {
  TITAN_ASSIGN_OR_RETURN(const std::string text, read_file(path));
  std::vector<int64_t> rows;
  std::istringstream lines(text);
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    const std::size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string::npos) continue;
    const std::size_t end = line.find_last_not_of(" \t\r") + 1;
    int64_t row = -1;
    const auto result = std::from_chars(line.data() + begin, line.data() + end, row);
    if (result.ec != std::errc() || result.ptr != line.data() + end || row < 0)
      return invalid_argument("[rows] ", path, " line ", number, " is no index of a row ('",
                              line.substr(0, 40), "'): one a line, from 0");
    rows.push_back(row);
  }
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  return rows;
}

std::string render_row_list(const std::vector<int64_t>& rows) {
  std::string text;
  for (const int64_t row : rows) text += std::to_string(row) + "\n";
  return text;
}

}  // namespace titan::tools
