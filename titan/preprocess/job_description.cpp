#include "titan/preprocess/job_description.h"

#include <algorithm>
#include <filesystem>

#include "titan/base/hash.h"
#include "titan/base/printable.h"
#include "titan/io/file_descriptor.h"

namespace titan::preprocess {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kWhole = 8 << 20;
constexpr std::uint64_t kPiece = 1 << 20;

std::string value_of(const JobDescription& job, const std::string& name) {
  for (const auto& [key, value] : job)
    if (key == name) return value;
  return "nothing";
}

Status hash_file(const fs::path& path, const std::string& name, Xxh3Stream& hash) {
  TITAN_ASSIGN_OR_RETURN(const FileDescriptor file,
                         FileDescriptor::open_for_reading(path.string()));
  std::error_code error;
  const std::uint64_t size = fs::file_size(path, error);
  if (error) return internal_error(path.string(), ": ", error.message());
  const std::string line = str_cat(name, " ", size, "\n");
  hash.update(line.data(), line.size());
  std::vector<std::uint64_t> offsets = {0};
  std::string bytes(std::min(size, kWhole), '\0');
  if (size > kWhole) {
    bytes.resize(kPiece);
    offsets = {0, size / 2, size - kPiece};
  }
  for (const std::uint64_t offset : offsets) {
    TITAN_RETURN_IF_ERROR(read_exactly(file, offset, bytes.data(), bytes.size(), path.string()));
    hash.update(bytes.data(), bytes.size());
  }
  return ok_status();
}

}  // namespace

nlohmann::ordered_json to_json(const JobDescription& job) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [name, value] : job) json[name] = value;
  return json;
}

StatusOr<JobDescription> description_from_json(const nlohmann::ordered_json& json) {
  if (!json.is_object()) return data_loss("is no object");
  JobDescription job;
  for (const auto& [name, value] : json.items()) {
    if (!value.is_string()) return data_loss("'", printable(name), "' is no text");
    job.emplace_back(name, value.get<std::string>());
  }
  return job;
}

std::string differences(const JobDescription& there, const JobDescription& here) {
  std::string text;
  const auto add = [&](const std::string& name, const std::string& a, const std::string& b) {
    if (a != b)
      text += str_cat(text.empty() ? "" : ", ", name, " (", printable(a, 120), " there, ",
                      printable(b, 120), " here)");
  };
  for (const auto& [name, value] : here) add(name, value_of(there, name), value);
  for (const auto& [name, value] : there) {
    const bool known = std::any_of(here.begin(), here.end(), [&, &key = name](const auto& entry) {
      return entry.first == key;
    });
    if (!known) add(name, value, "nothing");
  }
  return text;
}

StatusOr<std::string> identity_of_files(const std::string& path) {
  if (path.empty()) return std::string("none");
  std::error_code error;
  std::vector<fs::path> files;
  if (fs::is_directory(path, error)) {
    for (fs::recursive_directory_iterator entry(path, error), end; !error && entry != end;
         entry.increment(error)) {
      std::error_code ignored;  // a dangling link is no file
      if (entry->is_regular_file(ignored)) files.push_back(entry->path());
    }
    if (error) return internal_error("[preprocess] cannot list ", path, ": ", error.message());
    std::sort(files.begin(), files.end());
  } else if (fs::exists(path, error)) {
    files.emplace_back(path);
  }
  if (files.empty()) return not_found("[preprocess] no such encoder (", path, ")");
  Xxh3Stream hash;
  for (const fs::path& file : files)
    TITAN_RETURN_IF_ERROR(hash_file(file, file.lexically_relative(path).string(), hash));
  return hash.hex();
}

}  // namespace titan::preprocess
