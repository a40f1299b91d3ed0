#include <algorithm>

#include "titan/config/render.h"

namespace titan {
namespace {

constexpr std::size_t kWidth = 100;
constexpr std::size_t kHelpColumn = 42;

/// Breaks `text` at spaces; lines after the first begin at `indent`, and `column` is where the
/// first begins.
std::string wrapped(const std::string& text, std::size_t column, std::size_t indent) {
  std::string result;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    const std::size_t length = end - begin;
    if (!result.empty()) {
      const bool fits = column + 1 + length <= kWidth;
      result += fits ? " " : "\n" + std::string(indent, ' ');
      column = fits ? column + 1 : indent;
    }
    result += text.substr(begin, length);
    column += length;
    begin = end + 1;
  }
  return result;
}

std::string option_text(const SectionDoc& section, const FieldDoc& field) {
  const std::string name = section.name + "." + field.name;
  return field.type == "boolean"
             ? "  --" + name
             : "  --" + name + "=" + (field.type.rfind("list", 0) == 0 ? "A,B" : "X");
}

std::string option_lines(const SectionDoc& section, const FieldDoc& field) {
  std::string text = option_text(section, field);
  text += text.size() + 1 > kHelpColumn ? "\n" + std::string(kHelpColumn, ' ')
                                        : std::string(kHelpColumn - text.size(), ' ');
  std::string about = field.help;
  if (!field.rule.empty()) about += "; " + field.rule;
  about += " (" + field.type + ", now " + field.value + ")";
  return text + wrapped(about, kHelpColumn, kHelpColumn) + "\n";
}

}  // namespace

std::string render_help(const std::string& program, const JobConfig& config,
                        const std::vector<SectionDoc>& more) {
  std::string text =
      "usage: " + program + " [--config=NAME] [--section.key=value ...]\n\n" +
      wrapped(
          "NAME is a TOML file or the name of one in train_configs/; also --job.config_file and "
          "the environment variables CONFIG and CONFIG_FILE. The command line wins over the "
          "file, the file over the defaults.",
          0, 0) +
      "\n" +
      wrapped(
          "Values follow after = or as the next word; booleans stand alone or are negated "
          "(--training.no-shuffle); lists are separated by commas; None unsets what may be None; "
          "- and _ are alike in names. A model's own settings: --model.args.KEY=value.",
          0, 0) +
      "\n";
  std::vector<SectionDoc> sections = describe_config(config);
  sections.insert(sections.end(), more.begin(), more.end());
  for (const SectionDoc& section : sections) {
    text += "\n[" + section.name + "] " + section.help + "\n";
    for (const FieldDoc& field : section.fields) text += option_lines(section, field);
  }
  return text;
}

}  // namespace titan
