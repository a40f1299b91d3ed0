#include "titan/config/command_line.h"

#include <algorithm>
#include <utility>

namespace titan::config {
namespace {

const std::string kPlace = "command line";

bool is_option(const std::string& arg) { return arg.rfind("--", 0) == 0 && arg.size() > 2; }

bool is_true_or_false(const std::string& text) {
  return text == "true" || text == "false" || text == "True" || text == "False";
}

/// "training.no_shuffle" and "no_training.shuffle" -> "training.shuffle"; "" where neither place
/// begins with no_.
std::string without_no(const std::string& key) {
  if (key.compare(0, 3, "no_") == 0) return key.substr(3);
  const std::size_t part = key.rfind('.') + 1;
  return key.compare(part, 3, "no_") == 0 ? key.substr(0, part) + key.substr(part + 3) : "";
}

bool is_switch(KeyKind kind) { return kind == KeyKind::kBool || kind == KeyKind::kIgnored; }

class Parser {
 public:
  Parser(const std::vector<std::string>& args,
         const std::function<KeyKind(const std::string&)>& kind_of)
      : args_(args), kind_of_(kind_of) {}

  CommandLine parse() {
    while (next_ < args_.size()) {
      const std::string& arg = args_[next_++];
      if (arg == "--help" || arg == "-h") {
        result_.help = true;
      } else if (is_option(arg)) {
        option(arg);
      } else {
        result_.problems.push_back(
            {kPlace, "", "\"" + arg + "\" is no option; options are --section.key=value"});
      }
    }
    return std::move(result_);
  }

 private:
  void option(const std::string& arg) {
    const std::size_t equals = std::min(arg.find('='), arg.size());
    std::string key = arg.substr(2, equals - 2);
    std::replace(key.begin(), key.end(), '-', '_');
    const bool is_config = key == "config" || key == "job.config_file";
    const KeyKind kind = is_config ? KeyKind::kValue : kind_of_(key);
    if (equals < arg.size()) {
      with_value(key, kind, arg.substr(equals + 1));
    } else if (kind == KeyKind::kValue) {
      if (at_value()) {
        add(key, args_[next_++]);
      } else {
        result_.problems.push_back({kPlace, key, "needs a value"});
      }
    } else if (kind == KeyKind::kBool) {
      const bool spelled = at_value() && is_true_or_false(args_[next_]);
      add(key, spelled ? args_[next_++] : "true");
    } else {
      unknown(key, kind);
    }
  }

  /// The key that a name nobody knows negates, "" where there is none.
  std::string negated(const std::string& key, KeyKind kind) const {
    const std::string positive = kind == KeyKind::kUnknown ? without_no(key) : "";
    if (positive.empty()) return "";
    // Of a model's own setting nothing is known; its section never begins with no_.
    const bool of_model = is_model_arg(positive) && !is_model_arg(key);
    return of_model || kind_of_(positive) != KeyKind::kUnknown ? positive : "";
  }

  void with_value(const std::string& key, KeyKind kind, const std::string& value) {
    const std::string positive = negated(key, kind);
    if (positive.empty()) {
      add(key, value);
    } else {
      result_.problems.push_back(
          {kPlace, key, "is a negation and takes no value; write --" + positive + "=" + value});
    }
  }

  /// A negated boolean, a model's own setting, or a name nobody knows: a value belongs to it if one
  /// follows.
  void unknown(const std::string& key, KeyKind kind) {
    const std::string positive = negated(key, kind);
    if (positive.empty()) {
      add(key, at_value() ? args_[next_++] : "true");
    } else if (is_switch(kind_of_(positive)) || is_model_arg(positive)) {
      add(positive, "false");
    } else {
      result_.problems.push_back(
          {kPlace, key, positive + " is no switch; it takes a value: --" + positive + "=..."});
    }
  }

  bool at_value() const { return next_ < args_.size() && !is_option(args_[next_]); }

  void add(const std::string& key, const std::string& text) {
    if (key == "config" || key == "job.config_file") {
      result_.config = text;
    } else {
      result_.settings.push_back({key, {{RawText{text}}, false, kPlace}});
    }
  }

  const std::vector<std::string>& args_;
  const std::function<KeyKind(const std::string&)>& kind_of_;
  std::size_t next_ = 0;
  CommandLine result_;
};

}  // namespace

CommandLine parse_command_line(const std::vector<std::string>& args,
                               const std::function<KeyKind(const std::string&)>& kind_of) {
  return Parser(args, kind_of).parse();
}

}  // namespace titan::config
