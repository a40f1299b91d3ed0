#include "titan/tools/arguments.h"

#include <algorithm>
#include <charconv>

namespace titan {
namespace {

template <class Number>
StatusOr<Number> parse_number(const std::string& name, const std::string& text, Number low,
                              Number high) {
  Number value{};
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (result.ec != std::errc() || result.ptr != end || !(value >= low && value <= high))
    return invalid_argument("--", name, " must be a number from ", low, " to ", high, " (", text,
                            ")");
  return value;
}

}  // namespace

StatusOr<Arguments> Arguments::parse(const std::vector<std::string>& args,
                                     const std::vector<std::string>& known) {
  Arguments parsed;
  for (std::size_t i = 0; i < args.size(); ++i) {
    if (args[i] == "-h") {
      parsed.values_["help"] = "";
      continue;
    }
    if (args[i].rfind("--", 0) != 0) {
      parsed.words_.push_back(args[i]);
      continue;
    }
    const std::size_t equals = args[i].find('=');
    std::string name = args[i].substr(2, equals == std::string::npos ? equals : equals - 2);
    std::replace(name.begin(), name.end(), '_', '-');
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      std::string names;
      for (const std::string& option : known)
        names += str_cat(names.empty() ? "" : ", ", "--", option);
      return invalid_argument("unknown option --", name, " (known: ", names, ")");
    }
    if (parsed.has(name)) return invalid_argument("--", name, " is given twice");
    if (name == "help") {
      parsed.values_[name] = "";
    } else if (equals != std::string::npos) {
      parsed.values_[name] = args[i].substr(equals + 1);
    } else if (i + 1 < args.size()) {
      parsed.values_[name] = args[++i];
    } else {
      return invalid_argument("--", name, " needs a value");
    }
  }
  return parsed;
}

std::string Arguments::text(const std::string& name, const std::string& otherwise) const {
  const auto found = values_.find(name);
  return found == values_.end() ? otherwise : found->second;
}

StatusOr<std::int64_t> Arguments::integer(const std::string& name, std::int64_t otherwise,
                                          std::int64_t low, std::int64_t high) const {
  return has(name) ? parse_number(name, values_.at(name), low, high) : otherwise;
}

StatusOr<double> Arguments::real(const std::string& name, double otherwise, double low,
                                 double high) const {
  return has(name) ? parse_number(name, values_.at(name), low, high) : otherwise;
}

SplitArguments split_settings(const std::vector<std::string>& args) {
  SplitArguments parts;
  for (const std::string& arg : args) {
    const std::string name = arg.substr(0, arg.find('='));
    const bool is_setting = name.starts_with("--") && name.find('.') != std::string::npos;
    (is_setting ? parts.settings : parts.own).push_back(arg);
  }
  return parts;
}

}  // namespace titan
