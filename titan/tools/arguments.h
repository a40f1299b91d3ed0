// arguments.h: command lines of the small verbs: `--name value`, `--name=value`, and words without
// a name.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan {

class Arguments {
 public:
  /// `known` lists the option names, without dashes; "help" needs no value. kInvalidArgument names
  /// an unknown option, a repeated one, or one without its value.
  static StatusOr<Arguments> parse(const std::vector<std::string>& args,
                                   const std::vector<std::string>& known);

  bool has(const std::string& name) const { return values_.count(name) != 0; }
  std::string text(const std::string& name, const std::string& otherwise) const;
  /// kInvalidArgument where the value is no whole number or outside [low, high].
  StatusOr<std::int64_t> integer(const std::string& name, std::int64_t otherwise, std::int64_t low,
                                 std::int64_t high) const;
  StatusOr<double> real(const std::string& name, double otherwise, double low, double high) const;
  const std::vector<std::string>& words() const { return words_; }

 private:
  std::map<std::string, std::string> values_;
  std::vector<std::string> words_;
};

/// A command line in which `--section.key=value` are settings of the job and the rest is the
/// verb's.
struct SplitArguments {
  std::vector<std::string> own;
  std::vector<std::string> settings;
};
SplitArguments split_settings(const std::vector<std::string>& args);

}  // namespace titan
