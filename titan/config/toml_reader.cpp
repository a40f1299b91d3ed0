#include "titan/config/toml_reader.h"

#include <algorithm>
#include <string_view>

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include "titan/config/toml_nesting.h"

namespace titan::config {
namespace {

/// Each table below a name repeats it: without a limit 16 MiB of TOML take hundreds of times that.
constexpr std::size_t kLongestKey = 256;

class Reader {
 public:
  explicit Reader(std::string file_name) : file_name_(std::move(file_name)) {}

  void read_table(const toml::table& table, const std::string& prefix) {
    for (const auto& [name, node] : table) {
      const std::string key = prefix + std::string(name.str());
      const std::string place = place_of(name.source());
      const toml::table* inner = node.as_table();
      if (key.size() > kLongestKey) {
        result_.problems.push_back(
            {place, key.substr(0, 40) + "...", "a key of more than 256 letters"});
      } else if (inner == nullptr) {
        read_value(node, key, place, name.source().begin.line);
      } else {
        result_.sections.emplace_back(key, place);
        read_table(*inner, key + ".");
      }
    }
  }

  TomlSettings finish() {
    std::stable_sort(lines_.begin(), lines_.end(),
                     [](const Line& a, const Line& b) { return a.number < b.number; });
    for (Line& line : lines_) result_.settings.push_back(std::move(line.setting));
    return std::move(result_);
  }

 private:
  struct Line {
    uint32_t number;
    Setting setting;
  };

  std::string place_of(const toml::source_region& source) const {
    return file_name_ + ":" + std::to_string(source.begin.line);
  }

  void read_value(const toml::node& node, const std::string& key, const std::string& place,
                  uint32_t line) {
    ArgValue value;
    value.place = place;
    const toml::array* array = node.as_array();
    value.is_list = array != nullptr;
    bool known = true;
    if (array != nullptr) {
      for (const toml::node& item : *array) known = add_item(item, value) && known;
    } else {
      known = add_item(node, value);
    }
    if (known) {
      lines_.push_back({line, {key, std::move(value)}});
    } else {
      result_.problems.push_back(
          {place, key, "must be a boolean, a number, text, or a list of these"});
    }
  }

  static bool add_item(const toml::node& node, ArgValue& value) {
    if (const auto* flag = node.as_boolean()) {
      value.items.emplace_back(flag->get());
    } else if (const auto* whole = node.as_integer()) {
      value.items.emplace_back(whole->get());
    } else if (const auto* real = node.as_floating_point()) {
      value.items.emplace_back(real->get());
    } else if (const auto* text = node.as_string()) {
      value.items.emplace_back(text->get());
    } else {
      return false;
    }
    return true;
  }

  std::string file_name_;
  std::vector<Line> lines_;
  TomlSettings result_;
};

/// toml++ speaks of "redefining"; say what the user did.
std::string error_text(const toml::parse_error& error) {
  std::string text(error.description());
  const bool twice = text.find("redefine") != std::string::npos;
  return twice ? "duplicate key or section: " + text : "TOML syntax: " + text;
}

}  // namespace

StatusOr<TomlSettings> read_toml(const std::string& text, const std::string& file_name) {
  if (const DeepLine deep = find_deep_line(text); deep.line != 0)
    return to_status({{str_cat(file_name, ":", deep.line), "", deep.text}});
  const toml::parse_result parsed =
      toml::parse(std::string_view(text), std::string_view(file_name));
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    const std::string place = str_cat(file_name, ":", error.source().begin.line);
    return to_status({{place, "", error_text(error)}});
  }
  Reader reader(file_name);
  reader.read_table(parsed.table(), "");
  return reader.finish();
}

}  // namespace titan::config
