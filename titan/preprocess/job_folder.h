// job_folder.h: where a preprocessing job keeps what it has done until it is whole. No torch.
//
//   <parent>/.tmp-<name>/          becomes <parent>/<name> by one rename, at the very end
//     .lock                        held by rank 0 while the job runs: host and pid
//     preprocessing.json           {"version": 1, "finished": false, "job": {...}, "unit": 230,
//     ...} units/000012.json            unit 12 is done: rows, bytes and what was left out
//     unit-000012                  its file, in its final form; gets its final name at the end
//     skipped.jsonl                at the end: every sample left out, with the reason
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/data/encoded_file.h"
#include "titan/io/file_descriptor.h"
#include "titan/preprocess/job_description.h"

namespace titan::preprocess {

/// A sample that is not in the output.
struct SkippedSample {
  int64_t index = 0;
  std::string why;  ///< names the sample
};

/// What one unit of work left behind.
struct UnitRecord {
  int64_t rows = 0;
  int64_t bytes = 0;  ///< of its file; 0 = there is none, no sample of the unit was usable
  std::vector<SkippedSample> skipped;
};

/// The paths of a job, for any rank.
class JobPaths {
 public:
  explicit JobPaths(const std::string& output);
  const std::filesystem::path& output() const { return output_; }
  const std::filesystem::path& work() const { return work_; }
  std::filesystem::path unit_file(int64_t unit) const;
  std::filesystem::path unit_record(int64_t unit) const;
  std::filesystem::path manifest() const { return work_ / "preprocessing.json"; }

 private:
  std::filesystem::path output_;
  std::filesystem::path work_;
};

/// Notes durably that the unit is done; its file is there already. Any rank, for its own units.
Status record_unit(const JobPaths& paths, int64_t unit, const UnitRecord& record);

/// The folder as rank 0 holds it.
class JobFolder {
 public:
  struct Opened;
  /// Makes the work folder, or goes on in one of the same job, and locks it. kFailedPrecondition
  /// where the output or the work folder holds another job's data (the message says what differs)
  /// or another process is at work on it (host and pid).
  static StatusOr<Opened> open(const std::string& output, const JobDescription& job,
                               int64_t samples, int64_t samples_per_unit);

  const JobPaths& paths() const { return paths_; }
  int64_t num_units() const { return num_units_; }
  /// Of this job: what the manifest says, whatever was asked for now.
  int64_t samples_per_unit() const { return samples_per_unit_; }
  /// All is there but the folder's name: finish() is all that is left to do.
  bool only_the_rename_is_missing() const { return finished_; }
  /// Units that are done, as their records say.
  StatusOr<std::map<int64_t, UnitRecord>> done_units() const;

  /// All units are done: gives files their final names, writes the index and the summary, renames
  /// the folder. Each step may be interrupted and is then done by the next call. kDataLoss where no
  /// sample was usable.
  Status finish(const EncodedFormat& format, const EncodedShapes& shapes);

 private:
  JobFolder(JobPaths paths, JobDescription job) : paths_(std::move(paths)), job_(std::move(job)) {}
  Status lock();
  Status read_manifest();
  Status write_manifest(bool finished, const nlohmann::ordered_json& more) const;
  Status remove_leftovers() const;
  Status move_in_place();

  JobPaths paths_;
  JobDescription job_;
  FileDescriptor lock_;
  int64_t samples_ = 0;
  int64_t samples_per_unit_ = 0;
  int64_t num_units_ = 0;
  bool finished_ = false;  ///< only the rename was missing
};

struct JobFolder::Opened {
  bool already_finished = false;      ///< the output is there, of this very job
  std::unique_ptr<JobFolder> folder;  ///< null then
};

}  // namespace titan::preprocess
