// A small data set and encoders that are plain functions of picture and caption, and the job over
// them. Include catch.h first.
#pragma once

#include <ATen/ATen.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/support/temporary_folder.h"
#include "titan/base/hash.h"
#include "titan/data/dataset.h"
#include "titan/preprocess/preprocess.h"

namespace titan::testing {

/// Pictures of 16 x 16, five captions that repeat, keys, timesteps where asked for.
class FakeImages : public Dataset {
 public:
  explicit FakeImages(int64_t size) : size_(size) {}

  int64_t size() const override { return size_; }
  StatusOr<Sample> read(int64_t index, const DrawKey& key) const override {
    if (broken.count(index) != 0) return data_loss(describe(index), ": not a picture");
    if (too_small.count(index) != 0) return invalid_argument("4 x 4 pixels");
    if (unreadable.count(index) != 0) return internal_error("the disk is gone");
    Sample sample;
    sample.fields.set("image", at::arange(3 * 16 * 16, at::kFloat).view({3, 16, 16}) / 500 - 1 +
                                   0.01 * static_cast<double>(index) +
                                   0.001 * static_cast<double>(key.seed));
    if (with_timesteps) sample.fields.set("timestep", at::scalar_tensor(index % 8, at::kLong));
    sample.caption = index == bad_text ? "\xff\xfe caption" : str_cat("caption ", index % 5);
    if (with_keys) sample.key = index == bad_text ? "\xff\xfe" : str_cat("key-", index * index);
    return sample;
  }
  std::string describe(int64_t index) const override { return str_cat("fake:", index); }
  std::string fingerprint() const override { return str_cat("fake ", size_); }

  std::set<int64_t> broken, too_small, unreadable;
  int64_t bad_text = -1;
  bool with_timesteps = true;
  bool with_keys = true;

 private:
  int64_t size_;
};

inline const EncodedShapes kFakeShapes = {{{6, 8}, {4}, {3, 2, 2}, {3, 2, 2}}};

/// bfloat16, row by row the same whatever the batch.
inline void fake_encode(Batch& batch) {
  const int64_t count = batch.size();
  const at::Tensor image = batch.fields.get("image");
  const at::Tensor mean = image.view({count, 3, 2, 8, 2, 8}).mean({3, 5});
  at::Tensor t5 = at::empty({count, 6, 8}), clip = at::empty({count, 4});
  for (int64_t row = 0; row < count; ++row) {
    const std::uint64_t hash = xxh3_64(batch.captions[static_cast<std::size_t>(row)]);
    t5[row] = at::arange(48).view({6, 8}) / 7 + static_cast<double>(hash % 1000) / 100;
    clip[row] = at::arange(4) - static_cast<double>(hash % 77);
  }
  batch.fields.erase("image");
  batch.fields.set("mean", mean.to(at::kBFloat16));
  batch.fields.set("logvar", (mean * 0.5 - 1).to(at::kBFloat16));
  batch.fields.set("t5_encodings", t5.to(at::kBFloat16));
  batch.fields.set("clip_encodings", clip.to(at::kBFloat16));
}

inline const preprocess::JobDescription kFakeDescription = {{"data set", "fake"},
                                                            {"T5 encoder", "t5 of the test"}};

inline preprocess::PreprocessOptions fake_options(const std::string& output,
                                                  const std::string& format = "arrow") {
  preprocess::PreprocessOptions options;
  options.output = output;
  options.format = format;
  options.batch_size = 3;
  options.file_bytes = format == "arrow" ? 5000 : 1500;  // 6 or 7 samples
  return options;
}

/// Contents of every file below `folder`, by relative path.
inline std::map<std::string, std::string> contents_of(const std::string& folder) {
  std::map<std::string, std::string> contents;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    if (entry.is_regular_file())
      contents[entry.path().lexically_relative(folder).string()] = slurp(entry.path().string());
  return contents;
}

/// Opens and runs a job on this rank.
inline StatusOr<JobOutcome> run_job(
    const preprocess::PreprocessOptions& options, const std::shared_ptr<const Dataset>& dataset,
    parallel::Communicator& ranks, const preprocess::EncodeBatch& encode = fake_encode,
    const std::function<int()>& signal = [] { return 0; },
    const preprocess::JobDescription& description = kFakeDescription) {
  TITAN_ASSIGN_OR_RETURN(
      const std::unique_ptr<preprocess::PreprocessJob> job,
      preprocess::PreprocessJob::open(options, dataset, kFakeShapes, description, ranks));
  if (job->finished()) return JobOutcome::kDone;
  return job->run(encode, signal);
}

inline StatusOr<JobOutcome> run_alone(
    const preprocess::PreprocessOptions& options, const std::shared_ptr<const Dataset>& dataset,
    const preprocess::EncodeBatch& encode = fake_encode,
    const std::function<int()>& signal = [] { return 0; },
    const preprocess::JobDescription& description = kFakeDescription) {
  parallel::Communicator alone;
  return run_job(options, dataset, alone, encode, signal, description);
}

}  // namespace titan::testing
