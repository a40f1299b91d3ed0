// coco_subset.h: which captions of COCO the reference evaluates on, and in which order.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan::tools {

struct CocoSample {
  int64_t image_id = 0;
  int64_t id = 0;  ///< of the annotation
  std::string caption;
  int64_t timestep = 0;  ///< 0 to 7
};

/// Selects from a file of caption annotations (captions_val2014.json): newlines taken out of the
/// captions and white space off their ends, the annotations permuted (numpy_permutation.h), the
/// first one of each image kept, the first `num_samples` of these, sorted by annotation id; the
/// timestep is the place modulo 8. Fewer where the file has fewer images. Errors name the file: not
/// there, no JSON, no list "annotations", an annotation without image_id, id and caption.
StatusOr<std::vector<CocoSample>> select_coco_samples(const std::string& annotations_path,
                                                      int64_t num_samples, std::uint32_t seed);

/// The subset as a table, tab-separated, in the quoting of Python's csv module: image_id, id,
/// caption, timestep.
std::string coco_table(const std::vector<CocoSample>& samples);

/// "000000497252"; names in COCO have twelve digits.
std::string coco_key(int64_t image_id);
/// "COCO_val2014_000000497252".
std::string coco_image_name(int64_t image_id);

}  // namespace titan::tools
