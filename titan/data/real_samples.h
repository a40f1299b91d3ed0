// real_samples.h: pictures of the data set itself, to be shown beside drawn ones.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/base/status.h"
#include "titan/data/dataset.h"

namespace titan {

/// Indices of the first `count` samples of class `label` in stored order; fewer where the first
/// `max_scanned` samples hold no more. Reads samples only where the data set cannot tell their
/// class otherwise.
std::vector<int64_t> find_samples_of_class(const Dataset& dataset, int64_t label, int64_t count,
                                           int64_t max_scanned = 100'000);

/// One real image per entry of `classes` as [n, C, H, W]: the k-th mention of a class gives the
/// k-th sample of it. An entry that is no class (an unconditional model), and a data set without
/// classes, take samples in stored order. Where nothing is found or readable the picture is zero
/// (gray). An error if no picture could be read.
StatusOr<at::Tensor> read_real_samples(const Dataset& dataset, const std::vector<int64_t>& classes,
                                       std::uint64_t seed);

}  // namespace titan
