// sample_output.h: what `titan sample` writes beside the grid, and the score it prints.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/config/job_config.h"
#include "titan/tools/shape_wish.h"
#include "titan/train/picture_settings.h"
#include "titan/train/run_info.h"
#include "titan/train/sampling.h"

namespace titan {

/// The class' name; "class 7" where the run knows none.
std::string label_of(const RunInfo& info, int64_t id);

/// Each picture as a PNG of its own, named by label, group and number, with what it was drawn with.
Status write_pictures(const std::filesystem::path& folder, const SampleGroup& group,
                      double guidance, const std::vector<std::string>& labels,
                      const PictureSettings& settings);

/// One tensor [n, C, H, W] for each of config.sampling.guidance, scaled as the autoencoder's
/// decoder takes them.
Status write_latents(const std::string& path, const std::vector<at::Tensor>& drawn,
                     const JobConfig& config);

/// Prints the share of pictures that show the asked colour and shape (the shapes data set), and
/// what the others show. Pictures of which nothing is asked do not count.
void print_shape_score(const SampleGroup& group, const std::vector<ShapeWish>& wishes);

}  // namespace titan
