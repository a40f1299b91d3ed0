// data.h: settings of how samples are read.
#pragma once

#include <cstdint>
#include <optional>
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
  bool fast_jpeg = false;
  std::optional<std::string> cache_dir;
  double cache_gib = 100;
  double remote_deadline_s = 300;
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
  v("fast_jpeg", c.fast_jpeg,
    "decode a JPEG at 1/2, 1/4 or 1/8 of its size where that still covers image_size: faster, "
    "other pixels than the exact way");
  v("cache_dir", c.cache_dir,
    "where shards from a server (http, https, s3) are kept; unset = ~/.cache/titan/shards");
  v("cache_gib", c.cache_gib, "the cache's size; the shards used longest ago go first",
    rule::above(0));
  v("remote_deadline_s", c.remote_deadline_s,
    "a shard that a server has not delivered in this time, all retries included, is an error",
    rule::above(0));
}

}  // namespace titan
