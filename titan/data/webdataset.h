// webdataset.h: tars whose consecutive members <key>.<extension> make up a sample, as one data set.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "titan/data/dataset.h"
#include "titan/data/tar_set.h"
#include "titan/io/image_pipeline.h"

namespace titan {

/// How the members of a sample are read.
struct WebDatasetRules {
  TrainingImageOptions image;
  std::vector<std::string> picture_extensions = {"jpg", "jpeg", "png", "webp"};  ///< best first
  bool needs_caption = false;       ///< a sample without a caption is broken
  bool is_coco = false;             ///< json gives a timestep and the sample's key
  int64_t max_samples = 0;          ///< the first ones; 0 = all
  int64_t num_classes = 0;          ///< above 0: samples have a class
  std::string label_field = "cls";  ///< member or json key of the class
  std::vector<std::string> class_names;
};

/// The tars' samples in order. Messages name a sample "shapes-0001.tar:000123.jpg".
std::unique_ptr<Dataset> make_webdataset(std::shared_ptr<const TarSet> tars, WebDatasetRules rules);

}  // namespace titan
