#include "titan/config/loader.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <set>

#include "titan/base/environment.h"
#include "titan/config/aliases.h"
#include "titan/config/command_line.h"
#include "titan/config/field_table.h"
#include "titan/config/find_config.h"
#include "titan/config/mounted_folders.h"
#include "titan/config/setting.h"
#include "titan/config/toml_reader.h"
#include "titan/config/validate.h"

namespace fs = std::filesystem;

namespace titan {
namespace config {
namespace {

StatusOr<std::string> read_text(const fs::path& path) {
  // A pipe is fine (--config=<(...)), a device that never ends is not.
  constexpr std::size_t kMaxBytes = 16 << 20;
  std::ifstream file(path, std::ios::binary);
  std::string text;
  std::array<char, 65536> piece;
  while (file && text.size() <= kMaxBytes) {
    file.read(piece.data(), piece.size());
    text.append(piece.data(), static_cast<std::size_t>(file.gcount()));
  }
  if (file.bad() || (!file && !file.eof())) {
    return invalid_argument("[config] cannot read ", path.string(), ": ", std::strerror(errno));
  }
  if (text.size() > kMaxBytes)
    return invalid_argument("[config] ", path.string(), " is longer than 16 MiB: no config file");
  return text;
}

class Loader {
 public:
  explicit Loader(const LoadOptions& options)
      : options_(options), table_(bind_fields(result_.config)) {}
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  StatusOr<LoadedConfig> load(const std::vector<std::string>& args) {
    CommandLine line =
        parse_command_line(args, [this](const std::string& key) { return kind_of(key); });
    result_.help_requested = line.help;
    const Status file = load_file(config_name(line));
    if (!file.ok() && !line.help) return join(file, line.problems);
    problems_.insert(problems_.end(), line.problems.begin(), line.problems.end());
    apply_layer(std::move(line.settings));
    for (const auto& [key, off] : switched_off_) apply(off.setting, off.written_key);
    check();
    if (!problems_.empty() && !line.help) return to_status(problems_);
    if (result_.config.job.dump_folder.empty())
      result_.config.job.dump_folder = "outputs/" + result_.config_name;
    return std::move(result_);
  }

 private:
  KeyKind kind_of(const std::string& key) const {
    const Alias* alias = find_alias(key);
    const auto field = table_.find(alias == nullptr ? key : alias->to);
    if (alias == nullptr && is_inert(key)) return KeyKind::kIgnored;
    if (field == table_.end()) return alias == nullptr ? KeyKind::kUnknown : KeyKind::kValue;
    const bool was_bool =
        alias != nullptr && !alias->values.empty() && alias->values.front().first == "true";
    return field->second.is_bool || was_bool ? KeyKind::kBool : KeyKind::kValue;
  }

  std::string config_name(const CommandLine& line) {
    if (!line.config.empty()) return line.config;
    const std::string config = environment("CONFIG").value_or("");
    const std::string config_file = environment("CONFIG_FILE").value_or("");
    if (!config.empty() && !config_file.empty() && config != config_file) {
      result_.warnings.push_back("environment: CONFIG = " + config +
                                 " is taken, CONFIG_FILE = " + config_file + " is not");
    }
    if (!config.empty()) return config;
    return config_file.empty() ? options_.default_config : config_file;
  }

  Status load_file(const std::string& name) {
    if (name.empty()) return ok_status();
    std::vector<fs::path> folders = options_.config_folders;
    for (fs::path& folder : train_config_folders()) folders.push_back(std::move(folder));
    TITAN_ASSIGN_OR_RETURN(const fs::path path, find_config(resolve_mounted_path(name), folders));
    TITAN_ASSIGN_OR_RETURN(const std::string text, read_text(path));
    TITAN_ASSIGN_OR_RETURN(TomlSettings toml, read_toml(text, path.string()));
    result_.config_name = path.stem().string();
    problems_ = toml.problems;
    apply_layer(std::move(toml.settings));
    check_sections(toml.sections);
    result_.config.job.config_file = path.string();
    return ok_status();
  }

  /// Problems of the file itself leave its keys unknown; what is wrong with the command line is
  /// still said.
  static Status join(const Status& file, const std::vector<Problem>& problems) {
    std::string message = message_of(file);
    for (const Problem& problem : problems) message += "\n  " + to_line(problem);
    return invalid_argument(message);
  }

  /// Writes one source of settings over the config. A key under its own name beats its alias in the
  /// same source.
  void apply_layer(std::vector<Setting> settings) {
    std::set<std::string> native;
    for (const Setting& setting : settings) {
      if (find_alias(setting.key) == nullptr) native.insert(setting.key);
    }
    for (Setting& setting : settings) {
      const std::string written_key = setting.key;
      note_mounted(setting);
      const Alias* alias = find_alias(written_key);
      Translation translation = translate(setting);
      if (written_key != setting.key && translation.keep && native.count(setting.key) != 0) {
        translation = {false, "ignored, because " + setting.key + " is given too"};
      }
      if (!translation.warning.empty())
        warn({setting.value.place, written_key, translation.warning});
      if (alias == nullptr || (alias->is_switch && !translation.keep))
        switched_off_.erase(setting.key);
      if (alias != nullptr && alias->is_switch && translation.keep) {
        switched_off_.insert_or_assign(setting.key, SwitchedOff{setting, written_key});
      } else if (translation.keep) {
        apply(setting, written_key);
      }
    }
  }

  /// A value that names a container's folder means this machine's, where there is no container.
  void note_mounted(Setting& setting) {
    const std::string before = written(setting.value);
    result_.mapped.erase(setting.key);
    if (resolve_mounted_paths(setting.value))
      result_.mapped[setting.key] = str_cat(before, " is ", written(setting.value));
  }

  void apply(const Setting& setting, const std::string& written_key) {
    const std::string& place = setting.value.place;
    if (is_model_arg(setting.key)) {
      result_.config.model.args[setting.key.substr(kModelArgs.size())] = setting.value;
    } else if (const auto field = table_.find(setting.key); field != table_.end()) {
      const std::string wrong = field->second.assign(setting.value);
      if (!wrong.empty()) problems_.push_back({place, written_key, wrong});
    } else {
      problems_.push_back({place, written_key, unknown_key_text(written_key, known_keys())});
    }
    result_.origin[setting.key] = place;
  }

  std::vector<std::string> known_keys() const {
    std::vector<std::string> known;
    for (const auto& [key, binding] : table_) known.push_back(key);
    for (const Alias& alias : aliases()) known.push_back(alias.from);
    // Among equally near keys the first is named: `steps` rather means training.steps than
    // sampling.steps.
    std::stable_partition(known.begin(), known.end(),
                          [](const std::string& key) { return key.rfind("training.", 0) == 0; });
    return known;
  }

  /// An unknown section without any key would otherwise go unnoticed.
  void check_sections(const std::vector<std::pair<std::string, std::string>>& sections) {
    std::set<std::string> known = {"model.args"};
    std::set<std::string> used;
    for (const std::string& key : known_keys()) known.insert(key.substr(0, key.find('.')));
    for (const InertKeys& inert : inert_keys()) known.insert(inert.section);
    for (const auto& [key, place] : result_.origin) used.insert(key.substr(0, key.rfind('.')));
    for (const auto& [name, place] : sections) {
      const bool nested = is_model_arg(name) || name.find('.') != std::string::npos;
      if (nested || known.count(name) != 0 || used.count(name) != 0) continue;
      problems_.push_back({place, name, "unknown section"});
    }
  }

  void check() {
    for (Problem problem : find_problems(result_.config)) {
      problem.place = origin_of(problem.key);
      const bool reported =
          std::any_of(problems_.begin(), problems_.end(),
                      [&](const Problem& other) { return other.key == problem.key; });
      if (!reported) problems_.push_back(std::move(problem));
    }
    for (Problem doubt : find_doubts(result_.config)) {
      doubt.place = origin_of(doubt.key);
      warn(doubt);
    }
  }

  std::string origin_of(const std::string& key) const {
    const auto found = result_.origin.find(key);
    return found == result_.origin.end() ? "" : found->second;
  }

  void warn(const Problem& problem) {
    if (warned_.insert(problem.key).second) result_.warnings.push_back(to_line(problem));
  }

  /// A setting that a foreign switch holds, whatever other foreign keys say.
  struct SwitchedOff {
    Setting setting;
    std::string written_key;
  };

  const LoadOptions& options_;
  std::map<std::string, SwitchedOff> switched_off_;  ///< by key
  LoadedConfig result_;
  FieldTable table_;
  std::vector<Problem> problems_;
  std::set<std::string> warned_;
};

}  // namespace
}  // namespace config

StatusOr<LoadedConfig> load_config(const std::vector<std::string>& args,
                                   const LoadOptions& options) {
  return config::Loader(options).load(args);
}

}  // namespace titan
