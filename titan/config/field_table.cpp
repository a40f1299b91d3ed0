#include "titan/config/field_table.h"

#include "titan/config/nearest.h"
#include "titan/config/setting.h"

namespace titan::config {

namespace {

/// Handles `--model.args.no_name` standing alone: only here is it known that `name` is a boolean.
bool assign_negated(const std::string& name, const ArgValue& value, const FieldTable& table) {
  if (name.rfind("no_", 0) != 0 || value.is_list || value.items.size() != 1) return false;
  const auto field = table.find(kModelArgs + name.substr(3));
  bool flag = false;
  if (field == table.end() || !field->second.is_bool) return false;
  if (!convert(value.items.front(), flag).empty() || !flag) return false;
  return field->second.assign({{false}, false, value.place}).empty();
}

}  // namespace

FieldTable bind_fields(JobConfig& config) {
  FieldTable table;
  visit_sections(config, [&table](const char* name, auto& section, const char* /*help*/) {
    visit_fields(section, FieldBinder{table, std::string(name) + "."});
  });
  return table;
}

std::string unknown_key_text(const std::string& key, const std::vector<std::string>& known) {
  const std::string nearest = nearest_match(key, known);
  return nearest.empty() ? "unknown key" : "unknown key; did you mean " + nearest + "?";
}

Status apply_args(const ArgTable& args, const FieldTable& table) {
  std::vector<std::string> known;
  for (const auto& [key, binding] : table) known.push_back(key);
  std::vector<Problem> problems;
  for (const auto& [name, value] : args) {
    const std::string key = kModelArgs + name;
    if (assign_negated(name, value, table)) continue;
    const auto found = table.find(key);
    const std::string wrong =
        found == table.end() ? unknown_key_text(key, known) : found->second.assign(value);
    if (!wrong.empty()) problems.push_back({value.place, key, wrong});
  }
  return to_status(problems);
}

}  // namespace titan::config
