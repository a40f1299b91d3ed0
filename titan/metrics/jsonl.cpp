#include "titan/metrics/jsonl.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "titan/base/log.h"
#include "titan/io/atomic_file.h"
#include "titan/io/json_nesting.h"

namespace titan::metrics {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? Json(*value) : Json(nullptr);
}

/// Seconds since 1970, to the millisecond.
double wall_time() {
  using std::chrono::milliseconds;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<double>(std::chrono::duration_cast<milliseconds>(now).count()) / 1e3;
}

/// Discarded where it is none, or nested as no line of ours is.
Json parsed_line(const std::string& line) {
  return nests_too_deep(line) ? Json(Json::value_t::discarded)
                              : Json::parse(line, nullptr, /*allow_exceptions=*/false);
}

}  // namespace

StatusOr<std::unique_ptr<JsonlSink>> JsonlSink::open(const std::string& path) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file < 0)
    return invalid_argument("[metrics] cannot write ", path, " (", std::strerror(errno), ")");
  return std::unique_ptr<JsonlSink>(new JsonlSink(path, file));
}

JsonlSink::~JsonlSink() { ::close(file_); }

void JsonlSink::train(const TrainRecord& r) {
  Json line;
  line["kind"] = "train";
  line["step"] = r.step;
  line["samples"] = r.samples;
  line["loss"] = json_of(r.loss);
  line["loss_max"] = json_of(r.loss_max);
  line["grad_norm"] = json_of(r.grad_norm);
  line["lr"] = json_of(r.lr);
  line["samples_per_s"] = json_of(r.samples_per_s);
  line["step_s"] = json_of(r.step_s);
  line["data_wait_share"] = json_of(r.data_wait_share);
  line["tflops"] = json_of(r.tflops);
  line["mfu"] = json_of(r.mfu);
  if (r.mfu_fp8) line["mfu_fp8"] = json_of(r.mfu_fp8);
  line["memory_gib"] = json_of(r.memory_gib);
  line["time"] = wall_time();
  write_line(line.dump());
}

void JsonlSink::eval(const EvalRecord& r) {
  Json line;
  line["kind"] = "eval";
  line["step"] = r.step;
  line["samples"] = r.samples;
  line["loss"] = json_of(r.loss);
  line["seconds"] = json_of(r.seconds);
  for (const auto& [name, value] : r.values) line[name] = json_of(value);
  line["time"] = wall_time();
  write_line(line.dump());
}

void JsonlSink::event(const EventRecord& r) {
  Json line;
  line["kind"] = "event";
  line["step"] = r.step;
  line["event"] = r.name;
  for (const auto& [name, value] : r.values) {
    if (const auto* number = std::get_if<double>(&value)) {
      line[name] = json_of(*number);
    } else if (const auto* whole = std::get_if<int64_t>(&value)) {
      line[name] = *whole;
    } else {
      line[name] = std::get<std::string>(value);
    }
  }
  line["time"] = wall_time();
  // A path may hold any bytes; JSON may not.
  write_line(line.dump(-1, ' ', false, Json::error_handler_t::replace));
}

void JsonlSink::write_line(std::string line) {
  line += '\n';
  std::size_t written = 0;
  while (written < line.size()) {
    const ssize_t count = ::write(file_, line.data() + written, line.size() - written);
    if (count > 0) {
      written += static_cast<std::size_t>(count);
      continue;
    }
    if (count < 0 && errno == EINTR) continue;
    if (!failed_)
      TITAN_LOG(WARNING) << "[metrics] cannot write " << path_ << " (" << std::strerror(errno)
                         << ")";
    failed_ = true;
    return;
  }
}

Status cut_jsonl_back_to_step(const std::string& path, int64_t step) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    if (errno == ENOENT) return ok_status();
    return invalid_argument("[metrics] cannot read ", path, " (", std::strerror(errno), ")");
  }
  std::ostringstream buffer;
  buffer << file.rdbuf();
  const std::string text = buffer.str();
  std::string kept;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;  // torn by a crash in the middle of a write
    const std::string line = text.substr(begin, end + 1 - begin);
    begin = end + 1;
    const Json parsed = parsed_line(line);
    if (!parsed.is_object() || !parsed.contains("step") || !parsed["step"].is_number_integer())
      continue;
    if (parsed["step"].get<int64_t>() <= step) kept += line;
  }
  if (kept.size() == text.size()) return ok_status();
  return write_file_atomically(path, kept);
}

std::optional<FoundEvent> find_event(const std::string& path, const std::string& name) {
  std::ifstream file(path, std::ios::binary);
  std::optional<FoundEvent> found;
  for (std::string line; std::getline(file, line);) {
    const Json parsed = parsed_line(line);
    if (!parsed.is_object() || !parsed.contains("event") || parsed["event"] != name) continue;
    FoundEvent& event = found.emplace();
    if (parsed.contains("step") && parsed["step"].is_number_integer())
      event.step = parsed["step"].get<int64_t>();
    if (parsed.contains("loss") && parsed["loss"].is_number())
      event.loss = parsed["loss"].get<double>();
  }
  return found;
}

}  // namespace titan::metrics
