#include "titan/models/encoders/json_fields.h"

#include <cmath>
#include <utility>

#include <nlohmann/json.hpp>

#include "titan/base/printable.h"
#include "titan/io/mapped_file.h"

namespace titan::models {

using nlohmann::json;

StatusOr<json> read_json_object(const std::string& path) {
  TITAN_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
  const auto* text = reinterpret_cast<const char*>(file.data());
  json object = json::parse(text, text + file.size(), /*cb=*/nullptr, /*allow_exceptions=*/false);
  if (!object.is_object())
    return invalid_argument("[encoder] ", path, " does not hold a JSON object");
  return object;
}

const json* JsonFields::find(const std::string& key) const {
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void JsonFields::optional(const std::string& key, int64_t& value, int64_t least) {
  constexpr int64_t kLargest = int64_t{1} << 31;  // no size of a network comes near
  const json* field = find(key);
  if (field == nullptr) return;
  const int64_t number = field->is_number_integer() ? field->get<int64_t>() : -1;
  if (number < least || number > kLargest) {
    add_problem(str_cat(key, " is a whole number from ", least, " to ", kLargest));
  } else {
    value = number;
  }
}

void JsonFields::optional(const std::string& key, double& value) {
  const json* field = find(key);
  if (field == nullptr) return;
  if (!field->is_number() || !std::isfinite(field->get<double>())) {
    add_problem(key + " is a number");
  } else {
    value = field->get<double>();
  }
}

void JsonFields::optional(const std::string& key, std::string& value) {
  const json* field = find(key);
  if (field == nullptr) return;
  if (!field->is_string()) {
    add_problem(key + " is a text");
  } else {
    value = printable(field->get<std::string>());
  }
}

void JsonFields::optional(const std::string& key, bool& value) {
  const json* field = find(key);
  if (field == nullptr) return;
  if (!field->is_boolean()) {
    add_problem(key + " is true or false");
  } else {
    value = field->get<bool>();
  }
}

void JsonFields::required(const std::string& key, int64_t& value) {
  if (find(key) == nullptr) add_problem(key + " is missing");
  optional(key, value);
}

Status JsonFields::status() const {
  if (problems_.empty()) return ok_status();
  std::string all;
  for (const std::string& problem : problems_) all += (all.empty() ? "" : "; ") + problem;
  return invalid_argument("[encoder] ", where_, ": ", all);
}

}  // namespace titan::models
