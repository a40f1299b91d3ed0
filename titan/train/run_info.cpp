#include "titan/train/run_info.h"

#include <unistd.h>

#include <ctime>
#include <nlohmann/json.hpp>

#include "titan/base/check.h"
#include "titan/io/atomic_file.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/json_as.h"
#include "titan_revision.h"

namespace titan {
namespace {

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

std::string host_name() {
  char name[256] = "unknown";
  gethostname(name, sizeof name - 1);
  return name;
}

}  // namespace

std::string source_revision() { return TITAN_SOURCE_REVISION; }
std::string source_version() { return TITAN_SOURCE_VERSION; }
std::string version_line() {
  return str_cat("titan ", source_version(), " (", source_revision(), ")");
}

Status write_run_info(const RunFolder& folder, const RunInfo& info) {
  const nlohmann::ordered_json json = {
      {"titan_version", source_version()},
      {"revision", source_revision()},
      {"libtorch", info.libtorch_version},
      {"started", utc_now()},
      {"host", host_name()},
      {"pid", getpid()},
      {"device", info.device},
      {"world_size", info.rank.world_size},
      {"ranks_from", info.rank.source},
      {"description", info.description},
      {"arguments", info.arguments},
      {"seed", info.seed},
      {"sample_shape", info.sample_shape},
      {"sample_fields", info.sample_fields},
      {"num_classes", info.num_classes},
      {"class_names", info.class_names},
      {"restarts", info.restarts},
  };
  return write_file_atomically(folder.info_path().string(), json.dump(2) + "\n");
}

StatusOr<RunInfo> read_run_info(const RunFolder& folder) {
  const std::string path = folder.info_path().string();
  TITAN_ASSIGN_OR_RETURN(const std::string text, read_file(path, /*max_bytes=*/64 << 20));
  try {
    const nlohmann::json json = nlohmann::json::parse(text);
    RunInfo info;
    json_to(json.at("seed"), info.seed);
    json_to(json.at("sample_shape"), info.sample_shape);
    if (json.contains("sample_fields")) {
      for (const auto& [name, shape] : json.at("sample_fields").items())
        json_to(shape, info.sample_fields[name]);
    }
    json_to(json.at("num_classes"), info.num_classes);
    json.at("class_names").get_to(info.class_names);
    return info;
  } catch (const nlohmann::json::exception& error) {
    return data_loss("[run] ", path, " cannot be read: ", error.what());
  }
}

}  // namespace titan
