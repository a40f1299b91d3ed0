// data.h: settings of how samples are read.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/config/fields.h"

namespace titan {

struct DatasetSection {
  std::vector<int64_t> image_size = {};
  int64_t num_classes = 0;
  int64_t num_workers = 2;
  int64_t prefetch_batches = 4;
  std::string crop = "random";
  bool flip = false;
  double max_broken_share = 0.01;
  std::string label_field = "cls";
  bool allow_upscale = true;
  int64_t channels = 3;
};
template <class V>
void visit_fields(DatasetSection& c, V&& v) {
  v("image_size", c.image_size,
    "height, width of images in pixels (or of latents); empty = [img_size, img_size]",
    rule::at_least(1));
  v("num_classes", c.num_classes, "number of classes; 0 = as the data set says", rule::at_least(0));
  v("num_workers", c.num_workers, "threads that read and decode ahead of the step",
    rule::at_least(1));
  v("prefetch_batches", c.prefetch_batches, "micro-batches kept ready ahead of the step",
    rule::at_least(1));
  v("crop", c.crop, "crop after the covering resize: random (keyed by sample) or center",
    rule::one_of({"random", "center"}));
  v("flip", c.flip, "mirror images left-right at random (keyed by sample)");
  v("max_broken_share", c.max_broken_share,
    "the run stops when more than this share of samples read is broken", rule::between(0, 1));
  v("label_field", c.label_field,
    "webdataset member that holds the class id (cls, or a key of json)");
  v("allow_upscale", c.allow_upscale,
    "images smaller than image_size are enlarged; off = skipped, named and counted as broken");
  v("channels", c.channels, "channels of synthetic images or latents", rule::at_least(1));
}

}  // namespace titan
