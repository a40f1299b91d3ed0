// unit_writer.h: the last stage: a thread that puts encoded samples into the files of their units.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/data/encoded_file.h"
#include "titan/preprocess/job_folder.h"
#include "titan/preprocess/stage_times.h"
#include "titan/preprocess/unit_loader.h"

namespace titan::preprocess {

/// Encoded samples of one step, on the CPU.
struct EncodedStep {
  Step step;
  std::array<at::Tensor, kNumEncodedFields> fields;  ///< [n, ...] bfloat16, contiguous
  std::vector<std::string> keys;                     ///< n
  std::vector<std::optional<int64_t>> timesteps;     ///< n
  std::vector<int64_t> indices;                      ///< n, in the data set
  std::vector<SkippedSample> skipped;
};

struct WrittenCounts {
  int64_t bytes = 0;  ///< of values
  int64_t skipped = 0;
};

/// Steps of a unit come in order and without a gap; its file is committed and recorded with the
/// last one. Samples with NaN or infinity are left out and named.
class UnitWriter {
 public:
  UnitWriter(const JobPaths& paths, const EncodedFormat& format, EncodedShapes shapes,
             StageTimes& times);
  /// Drops what is not written: an unfinished unit leaves nothing behind.
  ~UnitWriter();
  UnitWriter(const UnitWriter&) = delete;
  UnitWriter& operator=(const UnitWriter&) = delete;

  /// Hands over a step, waiting while two are in hand already. The error of an earlier one.
  Status push(EncodedStep step);
  /// Waits until all is written. Once.
  Status finish();
  WrittenCounts counts() const;

 private:
  void run();
  Status write(EncodedStep& step);
  Status write_row(const EncodedStep& step, std::size_t row);
  Status close_unit(const Step& step);

  JobPaths paths_;
  const EncodedFormat& format_;
  EncodedShapes shapes_;
  StageTimes& times_;
  std::unique_ptr<EncodedFile> file_;  ///< of the unit under way
  UnitRecord record_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<EncodedStep> queue_;
  bool ending_ = false;
  Status status_;
  WrittenCounts counts_;
  std::thread thread_;  // last: it uses the members above
};

}  // namespace titan::preprocess
