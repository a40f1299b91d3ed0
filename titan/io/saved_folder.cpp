#include "titan/io/saved_folder.h"

#include <cstdio>
#include <filesystem>
#include <map>

#include <nlohmann/json.hpp>

#include "titan/base/hash.h"
#include "titan/base/log.h"
#include "titan/io/atomic_file.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/json_nesting.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

constexpr const char* kState = "state.json";
constexpr const char* kInfo = "dataset_info.json";

StatusOr<nlohmann::json> read_json(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored))
    return not_found("[arrow] ", path.parent_path().string(), " has no ", path.filename().string(),
                     ": it is not a folder of save_to_disk");
  constexpr std::size_t kMaxBytes = 64 << 20;
  TITAN_ASSIGN_OR_RETURN(const std::string text, read_file(path.string(), kMaxBytes));
  if (nests_too_deep(text))
    return data_loss("[arrow] ", path.string(), " nests lists or objects too deep");
  nlohmann::json value = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!value.is_object()) return data_loss("[arrow] ", path.string(), " is not a JSON object");
  return value;
}

StatusOr<std::vector<std::string>> data_files(const fs::path& state_path,
                                              const nlohmann::json& state) {
  const auto refuse = [&](const char* why) {
    return data_loss("[arrow] ", state_path.string(), ": ", why);
  };
  const auto list = state.find("_data_files");
  if (list == state.end() || !list->is_array()) return refuse("no list \"_data_files\"");
  std::vector<std::string> names;
  for (const nlohmann::json& entry : *list) {
    if (!entry.is_object() || !entry.contains("filename") || !entry["filename"].is_string())
      return refuse("an entry of \"_data_files\" has no \"filename\"");
    names.push_back(entry["filename"].get<std::string>());
    const fs::path name = names.back();
    if (name.empty() || name.is_absolute() || name.filename() != name || name == "..")
      return refuse("a \"filename\" leaves the folder");
  }
  if (names.empty()) return refuse("\"_data_files\" lists no file");
  return names;
}

nlohmann::ordered_json features_of(const std::vector<SavedColumn>& columns) {
  auto features = nlohmann::ordered_json::object();
  for (const SavedColumn& column : columns) {
    if (column.type == "struct") {
      features[column.name] = features_of(column.fields);
    } else if (column.type == "image") {
      features[column.name] = {{"_type", "Image"}};
    } else {
      features[column.name] = {{"dtype", column.type}, {"_type", "Value"}};
    }
  }
  return features;
}

}  // namespace

StatusOr<SavedFolder> SavedFolder::open(const std::string& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) return not_found("[arrow] no such folder (", folder, ")");
  const fs::path root = folder;
  TITAN_ASSIGN_OR_RETURN(const nlohmann::json state, read_json(root / kState));
  TITAN_ASSIGN_OR_RETURN(const nlohmann::json info, read_json(root / kInfo));
  TITAN_ASSIGN_OR_RETURN(const std::vector<std::string> names, data_files(root / kState, state));
  SavedFolder result;
  result.path_ = folder;
  for (const std::string& name : names) {
    if (!fs::exists(root / name, ignored))
      return not_found("[arrow] ", (root / kState).string(), " lists a file that is not there (",
                       name, ")");
    TITAN_ASSIGN_OR_RETURN(ArrowStreamFile file, ArrowStreamFile::open((root / name).string()));
    if (!file.has_end_mark())
      TITAN_LOG(WARNING) << "[arrow] " << file.path() << " has no end mark: it may have been cut "
                         << "between two record batches (" << file.num_rows() << " rows read)";
    if (!result.rows_.add(file.num_rows()))
      return data_loss("[arrow] ", file.path(), " claims ", file.num_rows(),
                       " rows: with the files before it more than 64 bits count");
    result.files_.push_back(std::move(file));
    constexpr std::size_t kFilesPerLine = 500;  // each costs a few reads: seconds on a slow disk
    if (result.files_.size() % kFilesPerLine == 0)
      TITAN_LOG(INFO) << "[arrow] opened " << result.files_.size() << " of " << names.size()
                      << " files of " << folder;
  }
  return result;
}

std::string SavedFolder::describe(int64_t row) const {
  const auto [file, local] = find(row);
  return str_cat(fs::path(files_[file].path()).filename().string(), " row ", local);
}

bool looks_like_saved_folder(const std::string& folder) {
  std::error_code ignored;
  return fs::exists(fs::path(folder) / kState, ignored) ||
         fs::exists(fs::path(folder) / kInfo, ignored);
}

std::string saved_file_name(std::size_t index, std::size_t count) {
  char name[64];
  std::snprintf(name, sizeof name, "data-%05zu-of-%05zu.arrow", index, count);
  return name;
}

std::vector<ArrowColumnSpec> arrow_columns(const std::vector<SavedColumn>& columns) {
  using Type = ArrowColumnSpec::Type;
  static const std::map<std::string, Type> types = {
      {"string", Type::kString}, {"binary", Type::kBinary},  {"int32", Type::kInt32},
      {"int64", Type::kInt64},   {"float64", Type::kDouble}, {"bool", Type::kBool},
      {"null", Type::kNull},     {"struct", Type::kStruct}};
  std::vector<ArrowColumnSpec> specs;
  for (const SavedColumn& column : columns) {
    if (column.type == "image") {
      specs.push_back({column.name,
                       Type::kStruct,
                       {{"bytes", Type::kBinary, {}}, {"path", Type::kString, {}}}});
      continue;
    }
    const auto type = types.find(column.type);
    TITAN_CHECK(type != types.end(), "[arrow] no such type of a column (", column.type, ")");
    specs.push_back({column.name, type->second, arrow_columns(column.fields)});
  }
  return specs;
}

std::string saved_folder_metadata(const std::vector<SavedColumn>& columns) {
  const nlohmann::ordered_json json = {{"info", {{"features", features_of(columns)}}}};
  return json.dump();
}

Status write_saved_folder_info(const std::string& folder, const std::vector<std::string>& files,
                               const std::vector<SavedColumn>& columns, int64_t num_rows,
                               const std::string& split) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  Xxh3Stream hash;
  for (const std::string& file : files) {
    list.push_back({{"filename", file}});
    hash.update(file.data(), file.size());
  }
  hash.update(&num_rows, sizeof num_rows);
  const nlohmann::ordered_json state = {{"_data_files", list},
                                        {"_fingerprint", hash.hex().substr(0, 16)},
                                        {"_format_columns", nullptr},
                                        {"_format_kwargs", nlohmann::ordered_json::object()},
                                        {"_format_type", nullptr},
                                        {"_output_all_columns", false},
                                        {"_split", split}};
  const nlohmann::ordered_json info = {
      {"citation", ""},
      {"description", ""},
      {"features", features_of(columns)},
      {"homepage", ""},
      {"license", ""},
      {"splits", {{split, {{"name", split}, {"num_examples", num_rows}}}}}};
  const fs::path root = folder;
  TITAN_RETURN_IF_ERROR(write_file_atomically((root / kInfo).string(), info.dump(2)));
  return write_file_atomically((root / kState).string(), state.dump(2));
}

}  // namespace titan
