// jsonl.h: metrics.jsonl, one JSON object a line; `kind` is train, eval or event,
// `time` when it was written in seconds since 1970.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "titan/base/status.h"
#include "titan/metrics/sink.h"

namespace titan::metrics {

/// Appends lines, each written at once and complete, so that a killed run leaves whole lines.
class JsonlSink : public MetricsSink {
 public:
  /// Opens (or makes) the file for appending.
  static StatusOr<std::unique_ptr<JsonlSink>> open(const std::string& path);
  ~JsonlSink() override;
  JsonlSink(const JsonlSink&) = delete;
  JsonlSink& operator=(const JsonlSink&) = delete;

  void train(const TrainRecord& record) override;
  void eval(const EvalRecord& record) override;
  void event(const EventRecord& record) override;

 private:
  JsonlSink(std::string path, int file) : path_(std::move(path)), file_(file) {}
  void write_line(std::string line);

  std::string path_;
  int file_;
  bool failed_ = false;
};

/// Removes the lines of steps after `step`, and a torn last line, in one atomic replacement. No
/// file is fine.
Status cut_jsonl_back_to_step(const std::string& path, int64_t step);

/// An event as it stands in the file.
struct FoundEvent {
  int64_t step = 0;
  double loss = 0;  ///< its value "loss", 0 where it has none
};
/// The last event of that name; empty where there is none, or no file.
std::optional<FoundEvent> find_event(const std::string& path, const std::string& name);

}  // namespace titan::metrics
