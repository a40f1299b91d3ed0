#include "titan/metrics/mllog.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include "titan/base/log.h"
#include "titan/io/atomic_file.h"

namespace titan::metrics {
namespace {

constexpr const char* kToken = ":::MLLOG ";

/// JSON with a space behind every colon and comma. Text that is not UTF-8 (an organisation's name
/// in another encoding) is replaced where it is broken.
std::string spaced(const MllogValue& value) {
  if (value.is_object() || value.is_array()) {
    std::string text(1, value.is_object() ? '{' : '[');
    for (auto item = value.begin(); item != value.end(); ++item) {
      if (item != value.begin()) text += ", ";
      if (value.is_object()) text += MllogValue(item.key()).dump() + ": ";
      text += spaced(*item);
    }
    return text + (value.is_object() ? '}' : ']');
  }
  return value.dump(-1, ' ', false, MllogValue::error_handler_t::replace);
}

/// The object of one line, null where it has none.
MllogValue object_of(const std::string& line) {
  const std::size_t token = line.find(kToken);
  if (token == std::string::npos) return nullptr;
  return MllogValue::parse(line.substr(token + std::strlen(kToken)), nullptr,
                           /*allow_exceptions=*/false);
}

int64_t samples_of(const MllogValue& object) {
  const auto metadata = object.find("metadata");
  if (metadata == object.end() || !metadata->is_object()) return 0;
  const auto samples = metadata->find("samples_count");
  return samples == metadata->end() || !samples->is_number_integer() ? 0 : samples->get<int64_t>();
}

}  // namespace

int64_t mllog_time_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string mllog_line(const char* event_type, const std::string& key, const MllogValue& value,
                       const MllogValue& metadata, int64_t time_ms,
                       const std::source_location& where) {
  MllogValue place;
  place["file"] = std::filesystem::path(where.file_name()).filename().string();
  place["lineno"] = where.line();
  if (metadata.is_object()) place.update(metadata);
  MllogValue line;
  line["namespace"] = "";
  line["time_ms"] = time_ms;
  line["event_type"] = event_type;
  line["key"] = key;
  line["value"] = value;
  line["metadata"] = std::move(place);
  return kToken + spaced(line);
}

StatusOr<std::unique_ptr<MllogWriter>> MllogWriter::open(const std::string& path, bool show) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file < 0)
    return invalid_argument("[mlperf] cannot write ", path, " (", std::strerror(errno), ")");
  return std::unique_ptr<MllogWriter>(new MllogWriter(path, file, show));
}

MllogWriter::~MllogWriter() { ::close(file_); }

void MllogWriter::write(const char* event_type, const std::string& key, const MllogValue& value,
                        const MllogValue& metadata, const Where& where) {
  const std::string line =
      mllog_line(event_type, key, value, metadata, time_ms_.value_or(mllog_time_ms()), where) +
      '\n';
  if (show_) {
    std::fputs(line.c_str(), stdout);
    std::fflush(stdout);
  }
  std::size_t written = 0;
  while (written < line.size()) {
    const ssize_t count = ::write(file_, line.data() + written, line.size() - written);
    if (count > 0) {
      written += static_cast<std::size_t>(count);
      continue;
    }
    if (count < 0 && errno == EINTR) continue;
    if (!std::exchange(failed_, true))
      TITAN_LOG(WARNING) << "[mlperf] cannot write " << path_ << " (" << std::strerror(errno)
                         << ")";
    return;
  }
}

StatusOr<MllogRest> cut_mllog_back(const std::string& path, int64_t samples) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    if (errno == ENOENT) return MllogRest{};
    return invalid_argument("[mlperf] cannot read ", path, " (", std::strerror(errno), ")");
  }
  MllogRest rest;
  std::string kept;
  std::string line;
  std::size_t evaluation_at = std::string::npos;  // in `kept`, of one that has begun and not ended
  while (std::getline(file, line)) {
    const MllogValue object = object_of(line);
    if (!object.is_object() || !object.contains("key")) continue;  // torn by a crash
    const MllogValue& key = object["key"];
    if (key == "run_stop" || samples_of(object) > samples) continue;
    if (key == "run_start") rest.run_started = true;
    if (key == "block_start") rest.block_open = true;
    if (key == "block_stop") rest.block_open = false;
    if (key == "eval_start") evaluation_at = kept.size();
    if (key == "eval_stop") evaluation_at = std::string::npos;
    kept += line + '\n';
  }
  file.close();
  if (evaluation_at != std::string::npos)
    kept.erase(evaluation_at, kept.find('\n', evaluation_at) + 1 - evaluation_at);
  if (!rest.run_started) {
    kept.clear();
    rest = {};
  }
  TITAN_RETURN_IF_ERROR(write_file_atomically(path, kept));
  return rest;
}

}  // namespace titan::metrics
