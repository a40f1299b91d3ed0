// run_folder.h: where a run writes (job.dump_folder), locked while the run lives. No torch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "titan/base/status.h"
#include "titan/io/file_descriptor.h"

namespace titan {

/// A run's folder and the places in it.
class RunFolder {
 public:
  /// Makes the folder where it is absent and locks it. An error names the path, or host and pid of
  /// the run that holds it, and `setting`, which chooses another folder.
  static StatusOr<RunFolder> open(const std::filesystem::path& path,
                                  const std::string& setting = "job.dump_folder");
  /// The same places without making or locking anything: for ranks other than 0, and for readers.
  static RunFolder view(const std::filesystem::path& path) { return {path, FileDescriptor()}; }

  const std::filesystem::path& path() const { return path_; }                     ///< of the folder
  std::filesystem::path config_path() const { return path_ / "config.toml"; }     ///< config.toml
  std::filesystem::path info_path() const { return path_ / "run.json"; }          ///< run.json
  std::filesystem::path metrics_path() const { return path_ / "metrics.jsonl"; }  ///< metrics.jsonl
  std::filesystem::path mlperf_path() const { return path_ / "mlperf.log"; }      ///< mlperf.log
  std::filesystem::path trace_path() const { return path_ / "trace"; }            ///< trace/
  /// samples/step-000100.png
  std::filesystem::path sample_path(int64_t step, const std::string& folder = "samples") const;

 private:
  RunFolder(std::filesystem::path path, FileDescriptor lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}

  std::filesystem::path path_;
  FileDescriptor lock_;
};

}  // namespace titan
