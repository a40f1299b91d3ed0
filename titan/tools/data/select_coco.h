// select_coco.h: `titan convert-data select-coco`: the evaluation samples of the Flux job.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/image_resize.h"

namespace titan::tools {

struct SelectCocoOptions {
  std::string annotations;  ///< captions_val2014.json
  std::string images;       ///< the folder val2014
  std::string output;       ///< must not exist, or be empty; appears whole or not at all
  int64_t num_samples = 29696;
  std::uint32_t seed = 2023;
  int64_t samples_per_shard = 1000;
  ImageSize size = {256, 256};
  int64_t num_threads = 0;  ///< 0 = one a core
};

/// Writes shard_00000.tar, ... (members <key>.png, .txt, .json per sample) and subset.tsv. Pictures
/// are squashed to the size by Pillow's bicubic filter, as stored (EXIF orientation is ignored);
/// gray ones stay gray, CMYK, which PNG does not have, becomes RGB. All missing pictures are named
/// before work begins; a broken one ends it, named.
Status select_coco(const SelectCocoOptions& options);

int select_coco_main(const std::vector<std::string>& args);

}  // namespace titan::tools
