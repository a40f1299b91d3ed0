// saved_images.h: pictures with captions in a folder of save_to_disk (cc12m_disk, coco).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "titan/data/dataset.h"
#include "titan/io/image_pipeline.h"

namespace titan {

struct SavedImagesRules {
  std::string speaker;  ///< begins the messages
  TrainingImageOptions image;
  bool is_coco = false;     ///< `json` gives a timestep and the sample's key
  int64_t max_samples = 0;  ///< the first ones; 0 = all
};

/// Columns: the picture, the first of png, jpg, jpeg, webp, image that is there: a struct of
/// `bytes` and `path` (where the bytes are null the file at the path is read, relative to the
/// folder), or binary; the caption: txt, caption, text, or `caption` of the struct json; `__key__`
/// where it is there. A missing column, or one of another type, is an error that names the file and
/// the columns that it has.
StatusOr<std::unique_ptr<Dataset>> open_saved_images(const std::string& folder,
                                                     const SavedImagesRules& rules);

}  // namespace titan
