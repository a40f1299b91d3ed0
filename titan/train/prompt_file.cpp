#include "titan/train/prompt_file.h"

#include <string_view>

#include "titan/data/webdataset_fields.h"
#include "titan/io/file_descriptor.h"

namespace titan {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool is_blank(const std::string& line) {
  return line.find_first_not_of(" \t\v\f") == std::string::npos;
}

}  // namespace

StatusOr<PromptFile> read_prompt_file(const std::string& path) {
  StatusOr<std::string> read = read_file(path);
  if (!read.ok())
    return annotate(read.status(), "[inference] no prompts (a text file, one prompt a line)");
  std::string_view rest = *read;
  if (rest.substr(0, kByteOrderMark.size()) == kByteOrderMark)
    rest.remove_prefix(kByteOrderMark.size());
  PromptFile file;
  for (int64_t number = 1; !rest.empty(); ++number) {
    const std::size_t end = rest.find('\n');
    std::string line(rest.substr(0, end));
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (is_blank(line)) {
      ++file.blank_lines;
      continue;
    }
    if (!is_utf8(line))
      return invalid_argument("[inference] ", path, ":", number,
                              ": this line is not UTF-8 (iconv -f latin1 -t utf8 converts a file)");
    if (line.find('\0') != std::string::npos)
      return invalid_argument("[inference] ", path, ":", number, ": this line holds a zero byte");
    file.prompts.push_back(std::move(line));
  }
  if (file.prompts.empty())
    return invalid_argument("[inference] ", path, " holds no prompts (", file.blank_lines,
                            " blank lines); one prompt a line is expected");
  return file;
}

}  // namespace titan
