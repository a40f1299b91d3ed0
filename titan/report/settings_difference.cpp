#include "titan/report/settings_difference.h"

#include <algorithm>
#include <optional>
#include <set>
#include <variant>

#include "titan/config/toml_reader.h"
#include "titan/config/value.h"

namespace titan::report {
namespace {

/// Whole, however long: what differs may stand at the end.
struct WholeText {
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(std::int64_t value) const { return std::to_string(value); }
  std::string operator()(double value) const { return config::shortest(value); }
  std::string operator()(const std::string& value) const { return '"' + value + '"'; }
  std::string operator()(const RawText& value) const { return value.text; }
};

std::string whole_text(const ArgValue& value) {
  std::string text;
  for (const ArgScalar& item : value.items)
    text += (text.empty() ? "" : ", ") + std::visit(WholeText{}, item);
  return value.is_list ? "[" + text + "]" : text;
}

}  // namespace

StatusOr<Settings> parse_settings(const std::string& text, const std::string& name) {
  TITAN_ASSIGN_OR_RETURN(const config::TomlSettings read, config::read_toml(text, name));
  Settings settings;
  for (const config::Setting& setting : read.settings)
    settings[setting.key] = whole_text(setting.value);
  return settings;
}

std::vector<SettingRow> settings_difference(const std::vector<const Settings*>& runs) {
  std::set<std::string> keys;
  for (const Settings* run : runs) {
    if (run == nullptr) continue;
    for (const auto& [key, value] : *run) keys.insert(key);
  }
  std::vector<SettingRow> rows;
  for (const std::string& key : keys) {
    SettingRow row{.key = key, .values = {}};
    std::set<std::optional<std::string>> different;
    for (const Settings* run : runs) {
      std::optional<std::string> value;
      if (run != nullptr) {
        if (const auto found = run->find(key); found != run->end()) value = found->second;
        different.insert(value);
      }
      row.values.push_back(value.value_or(""));
    }
    if (different.size() > 1) rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace titan::report
