// example_batch.h: a small labelled batch for tests of the objectives. Include
// tests/support/catch.h first.
#pragma once

#include <torch/types.h>

#include "titan/data/batch.h"

namespace titan::testing {

/// Samples first, first + 1, ... of epoch 0; sample i has the same image and label in any batch.
inline Batch example_batch(int64_t size, int64_t first = 0) {
  Batch batch;
  batch.sample = torch::arange(first, first + size);
  batch.epoch = torch::zeros({size}, torch::kLong);
  std::vector<at::Tensor> images;
  for (int64_t i = first; i < first + size; ++i)
    images.push_back(
        torch::sin(torch::arange(2 * 3 * 5, torch::kFloat) * static_cast<double>(i + 1))
            .view({2, 3, 5}));
  batch.fields.set("image", torch::stack(images));
  batch.fields.set("label", batch.sample.remainder(10));
  return batch;
}

}  // namespace titan::testing
