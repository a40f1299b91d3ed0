// A data set in memory whose samples say who they are, and fail on wish. Include catch.h first.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include <ATen/ATen.h>

#include "titan/data/dataset.h"

namespace titan::testing {

class FakeDataset : public Dataset {
 public:
  explicit FakeDataset(int64_t size) : size_(size) {}

  int64_t size() const override { return size_; }
  StatusOr<Sample> read(int64_t index, const DrawKey& key) const override {
    // Uneven reading times: order must not depend on who is first.
    std::this_thread::sleep_for(std::chrono::microseconds(index * 7919 % 300));
    if (fail) {
      Status status = fail(index, reads[index % 64]++);
      if (!status.ok()) return status;
    }
    Sample sample;
    sample.fields.set("image", at::full({1, 2, 2}, static_cast<float>(index) +
                                                       0.001F * static_cast<float>(key.epoch)));
    sample.fields.set("label", at::scalar_tensor(index % 3, at::kLong));
    if (with_captions) sample.caption = str_cat("sample ", index);
    return sample;
  }
  std::string describe(int64_t index) const override { return str_cat("fake:", index); }
  int64_t num_classes() const override { return 3; }
  std::string fingerprint() const override { return "fake"; }

  std::function<Status(int64_t index, int attempt)> fail;
  bool with_captions = true;
  mutable std::atomic<int> reads[64] = {};

 private:
  int64_t size_;
};

}  // namespace titan::testing
