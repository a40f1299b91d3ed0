// mllog.h: MLPerf's result lines, ":::MLLOG " and one JSON object each
// (https://github.com/mlcommons/logging). Knows the format, not which keys a benchmark wants. No
// torch.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <source_location>
#include <string>

#include "titan/base/status.h"

namespace titan::metrics {

/// Values and metadata keep the order in which their members were given.
using MllogValue = nlohmann::ordered_json;

/// Milliseconds since 1970, as the lines carry.
int64_t mllog_time_ms();

/// One line's text, without a line break. Members are separated as the reference's logger does it.
/// `metadata` (an object, or null) follows file and lineno. Numbers that are not finite become
/// null.
std::string mllog_line(const char* event_type, const std::string& key, const MllogValue& value,
                       const MllogValue& metadata, int64_t time_ms,
                       const std::source_location& where);

/// Appends lines to a file, each written at once and complete, and shows them on the screen.
class MllogWriter {
 public:
  using Where = std::source_location;

  /// Opens (or makes) the file for appending.
  static StatusOr<std::unique_ptr<MllogWriter>> open(const std::string& path, bool show);
  ~MllogWriter();
  MllogWriter(const MllogWriter&) = delete;
  MllogWriter& operator=(const MllogWriter&) = delete;

  /// POINT_IN_TIME, INTERVAL_START, INTERVAL_END; file and lineno are the caller's. A disk that
  /// fails warns once; the run goes on.
  void point(const std::string& key, const MllogValue& value, const MllogValue& metadata = nullptr,
             const Where& where = Where::current()) {
    write("POINT_IN_TIME", key, value, metadata, where);
  }
  void start(const std::string& key, const MllogValue& value, const MllogValue& metadata = nullptr,
             const Where& where = Where::current()) {
    write("INTERVAL_START", key, value, metadata, where);
  }
  void end(const std::string& key, const MllogValue& value, const MllogValue& metadata = nullptr,
           const Where& where = Where::current()) {
    write("INTERVAL_END", key, value, metadata, where);
  }
  /// Time of the lines that follow; nothing = when they are written.
  void set_time(std::optional<int64_t> time_ms) { time_ms_ = time_ms; }

 private:
  MllogWriter(std::string path, int file, bool show)
      : path_(std::move(path)), file_(file), show_(show) {}
  void write(const char* event_type, const std::string& key, const MllogValue& value,
             const MllogValue& metadata, const Where& where);

  std::string path_;
  int file_;
  bool show_;
  std::optional<int64_t> time_ms_;
  bool failed_ = false;
};

/// What is left of a log after cut_mllog_back.
struct MllogRest {
  bool run_started = false;  ///< the lines up to run_start are there
  bool block_open = false;   ///< a block_start without its block_stop
};

/// Prepares the log of a run that goes on from `samples`: removes run_stop and what happened later
/// (metadata's samples_count above `samples`), and the start of an evaluation that was left before
/// its end, which is made again; in one atomic replacement. No file, or one that ends
/// before run_start, leaves an empty log.
StatusOr<MllogRest> cut_mllog_back(const std::string& path, int64_t samples);

}  // namespace titan::metrics
