// json_fields.h: reads the fields of a network's config.json. Private to this folder. No torch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "titan/base/status.h"

namespace titan::models {

/// The object in a JSON file; an error names the file.
StatusOr<nlohmann::json> read_json_object(const std::string& path);

/// Fields of an object; what is wrong is collected and said at once.
class JsonFields {
 public:
  /// `object` outlives this. `where` names it in messages: the file, and the place in it.
  JsonFields(const nlohmann::json& object, std::string where)
      : object_(object), where_(std::move(where)) {}

  /// Each sets `value` if the field is there and not null; `value` is its default else.
  void optional(const std::string& key, int64_t& value, int64_t least = 1);
  void optional(const std::string& key, double& value);
  void optional(const std::string& key, std::string& value);
  void optional(const std::string& key, bool& value);
  void required(const std::string& key, int64_t& value);
  void add_problem(const std::string& problem) { problems_.push_back(problem); }

  /// kInvalidArgument with all problems.
  Status status() const;

 private:
  const nlohmann::json* find(const std::string& key) const;

  const nlohmann::json& object_;
  std::string where_;
  std::vector<std::string> problems_;
};

}  // namespace titan::models
