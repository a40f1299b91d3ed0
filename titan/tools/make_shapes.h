// make_shapes.h: the embedded data set: rendered shapes as webdataset tars of JPEGs with labels and
// captions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan {

struct MakeShapesOptions {
  std::string output_folder;
  std::int64_t num_samples = 20000;
  int image_size = 64;  ///< pixels a side
  std::int64_t samples_per_shard = 2000;
  std::uint64_t seed = 0;
  int quality = 92;     ///< of the JPEGs, which keep all colour values (4:4:4)
  int num_threads = 0;  ///< 0 = one a core
  /// Captions in many wordings (shape_captions.h) instead of one; pictures and classes stay.
  bool many_wordings = false;
};

/// Writes
///
///     shapes-00000.tar ...   samples NNNNNN.jpg, .cls (class id), .txt (caption), .json (label,
///     class_name, caption) classes.txt            one class name a line, in order of their ids
///     shapes.json            the parameters, by which a second call knows its own output
///     prompts_unseen.txt     with many wordings: prompts in wordings that no caption has, and in
///     prompts_unseen_labels.txt  the class name of each, line by line
///
/// Equal options give equal bytes. The folder appears whole (it is built beside and renamed). One
/// that holds the output of equal parameters already is left alone, with a word about it; any other
/// that is not empty is an error (kFailedPrecondition).
Status make_shapes(const MakeShapesOptions& options);

/// `titan make-shapes --output DIR ...`; returns the exit code.
int make_shapes_main(const std::vector<std::string>& args);

}  // namespace titan
