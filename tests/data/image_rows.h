// image_rows.h: what tests of image data sets share.
#pragma once

#include <stdlib.h>

#include <string>

#include <ATen/core/Tensor.h>

#include "titan/config/job_config.h"
#include "titan/data/dataset.h"

#include "tests/support/sha256.h"
#include "tests/support/temporary_folder.h"

namespace titan::testing {

/// A folder of files with the cache inside.
class TarFolder : public TemporaryFolder {
 public:
  TarFolder() { ::setenv("TITAN_CACHE", file("cache").c_str(), 1); }
  ~TarFolder() { ::unsetenv("TITAN_CACHE"); }
};

/// A job on the data set `name` at `path` (empty: unset) with square images.
inline JobConfig config_of(const std::string& name, const std::string& path = "", int side = 8) {
  JobConfig config;
  config.training.dataset = name;
  if (!path.empty()) config.training.dataset_path = path;
  config.training.img_size = side;
  return config;
}

inline std::string error_of(const JobConfig& config) {
  return message_of(open_dataset(config).status());
}

/// Of the float32 values of "image", [3, H, W] end to end.
inline std::string image_sha256(const Sample& sample) {
  const at::Tensor image = sample.fields.get("image").contiguous();
  const auto* values = image.const_data_ptr<float>();
  return sha256_hex(std::vector<float>(values, values + image.numel()));
}

}  // namespace titan::testing
