// preprocess.h: encodes a data set once, with all ranks, in three stages at a time: threads decode,
// the device encodes, a thread writes.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/data/dataset.h"
#include "titan/data/encoded_file.h"
#include "titan/parallel/communicator.h"
#include "titan/preprocess/job_description.h"
#include "titan/preprocess/job_folder.h"
#include "titan/train/job_main.h"

namespace titan::preprocess {

struct PreprocessOptions {
  std::string output;
  std::string format = "arrow";
  int64_t file_bytes = 0;  ///< 0 = the format's own, and less for a small data set
  int64_t batch_size = 16;
  int64_t num_samples = 0;  ///< the first n; 0 = all
  std::uint64_t seed = 0;
  int64_t num_workers = 2;
  int64_t prefetch_batches = 4;
  double progress_s = 5;
  /// Every rank encodes in every step, if need be a made-up sample: sharded encoders need all.
  bool encode_together = false;
  std::vector<int64_t> image_shape;  ///< [3, H, W], of that made-up sample
};

/// Replaces "image" by mean and logvar and adds t5_encodings and clip_encodings, as
/// BatchEncoder::encode does; on whatever device.
using EncodeBatch = std::function<void(Batch&)>;

class PreprocessJob {
 public:
  /// What an open found: nothing to do any more, or a job to run.
  static StatusOr<std::unique_ptr<PreprocessJob>> open(const PreprocessOptions& options,
                                                       std::shared_ptr<const Dataset> dataset,
                                                       const EncodedShapes& shapes,
                                                       const JobDescription& description,
                                                       parallel::Communicator& ranks);

  /// The output is there already, of this very job; run() is not to be called.
  bool finished() const { return finished_; }

  /// Encodes what is left to do and puts the output together; every rank calls. kStopped after a
  /// signal (`requested_signal` not 0 on any rank): the units under way are done then.
  StatusOr<JobOutcome> run(const EncodeBatch& encode, const std::function<int()>& requested_signal);

 private:
  class Run;
  PreprocessJob(const PreprocessOptions& options, std::shared_ptr<const Dataset> dataset,
                const EncodedShapes& shapes, parallel::Communicator& ranks);
  std::string describe_plan(const std::map<int64_t, UnitRecord>& done) const;
  Status take_plan(const std::string& text);

  PreprocessOptions options_;
  std::shared_ptr<const Dataset> dataset_;
  EncodedShapes shapes_;
  parallel::Communicator& ranks_;
  std::unique_ptr<EncodedFormat> format_;
  std::unique_ptr<JobFolder> folder_;  ///< rank 0
  bool finished_ = false;
  int64_t num_samples_ = 0;
  int64_t samples_per_unit_ = 0;
  int64_t samples_done_ = 0;    ///< before this run
  std::vector<int64_t> units_;  ///< to do
};

/// Samples of a unit, which is a file of the output: what fits into `file_bytes`, or, where 0, the
/// format's own size, but at most a 32nd of a small data set, so that several ranks have work.
int64_t samples_per_unit(const EncodedFormat& format, const EncodedShapes& shapes,
                         int64_t file_bytes, int64_t num_samples);

}  // namespace titan::preprocess
