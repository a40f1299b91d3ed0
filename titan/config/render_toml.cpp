#include "titan/config/render.h"
#include "titan/config/setting.h"

namespace titan {
namespace config {

std::string quoted(const std::string& text) {
  static const char* const kHex = "0123456789ABCDEF";
  std::string result = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      result += "\\u00";
      result += kHex[byte >> 4];
      result += kHex[byte & 15];
    } else {
      result += c;
    }
  }
  return result + "\"";
}

namespace {

/// Text from the command line: only the model knows its type, so it is written as what it looks
/// like.
std::string guessed(const RawText& raw) {
  bool flag = false;
  int64_t whole = 0;
  double real = 0;
  if (convert(raw, flag).empty()) return toml_of(flag);
  if (convert(raw, whole).empty()) return toml_of(whole);
  if (convert(raw, real).empty()) return toml_of(real);
  return quoted(raw.text);
}

struct TypedToml {
  template <class T>
  std::string operator()(const T& value) const {
    return toml_of(value);
  }
  std::string operator()(const RawText& raw) const { return guessed(raw); }
};

std::string arg_toml(const ArgValue& value) {
  std::string list;
  for (const ArgScalar& item : value.items) {
    list += (list.empty() ? "" : ", ") + std::visit(TypedToml{}, item);
  }
  return value.is_list ? "[" + list + "]" : list;
}

std::string toml_key(const std::string& key) {
  const bool bare = !key.empty() && key.find_first_not_of(
                                        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                        "0123456789_-") == std::string::npos;
  return bare ? key : quoted(key);
}

}  // namespace
}  // namespace config

std::vector<SectionDoc> describe_config(const JobConfig& config) {
  JobConfig values = config;
  std::vector<SectionDoc> sections;
  visit_sections(values, [&sections](const char* name, auto& section, const char* help) {
    sections.push_back(describe_section(name, help, section));
  });
  return sections;
}

std::string render_toml(const JobConfig& config) {
  std::string text =
      "# Resolved config: defaults, file and command line. It loads back as it is "
      "(--config=config.toml).\n";
  for (const SectionDoc& section : describe_config(config)) {
    text += "\n[" + section.name + "]\n";
    for (const FieldDoc& field : section.fields) text += field.name + " = " + field.value + "\n";
    if (section.name != "model" || config.model.args.empty()) continue;
    text += "\n[model.args]\n";
    for (const auto& [key, value] : config.model.args) {
      text += config::toml_key(key) + " = " + config::arg_toml(value) + "\n";
    }
  }
  return text;
}

}  // namespace titan
