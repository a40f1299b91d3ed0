// disk.h: how fast files are written and read where a job keeps its own, and how much fits. No
// torch.
#pragma once

#include <cstdint>
#include <string>

#include "titan/base/status.h"
#include "titan/tools/doctor/finding.h"

namespace titan::doctor {

struct DiskFacts {
  std::string folder = {};      ///< that was tried: the wanted one, or what there is of its path
  Status status = ok_status();  ///< why it cannot be written
  std::int64_t tried_bytes = 0;
  double write_s = 0;  ///< with fsync
  double read_s = 0;   ///< after the pages were given up
  std::int64_t free_bytes = 0;
};

/// `path`, or the nearest folder above it that exists.
std::string existing_part(const std::string& path);

/// Writes a file of `bytes` into `folder` (or the nearest folder above it that exists), fsyncs,
/// reads it and removes it.
DiskFacts measure_disk(const std::string& folder, std::int64_t bytes);

/// What checkpoints ask of the disk.
struct CheckpointNeeds {
  bool enabled = false;
  std::int64_t bytes = 0;  ///< of one checkpoint; 0 = not known
  std::int64_t kept = 0;   ///< 0 = all
  std::int64_t saved = 0;  ///< over the whole job
  int writers = 1;         ///< ranks that write at a time
};

void judge_disk(const DiskFacts& disk, const CheckpointNeeds& needs, Section& section);

struct ReadFacts {
  Status status = ok_status();
  std::int64_t bytes = 0;
  std::int64_t files = 0;
  double seconds = 0;
};

/// Reads up to `bytes` of the largest files at `path` (a file or folder), after giving up their
/// pages.
ReadFacts measure_reading(const std::string& path, std::int64_t bytes);
void judge_reading(const std::string& topic, const std::string& path, const ReadFacts& read,
                   Section& section);

}  // namespace titan::doctor
