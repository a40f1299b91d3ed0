// make_encoders.h: small frozen text encoders with random weights, for text-to-image jobs that run
// with no download.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/tools/encoder_layout.h"

namespace titan {

struct MakeEncodersOptions {
  std::string output_folder;
  std::string captions;  ///< what read_captions takes
  std::int64_t max_captions = 200'000;
  std::int64_t max_pieces = 4000;  ///< of T5's vocabulary
  std::int64_t max_merges = 4000;  ///< of CLIP's
  SmallT5 t5 = {};                 ///< vocab_size follows from the captions
  SmallClip clip = {};
  std::uint64_t seed = 0;
};

/// Writes, in the layout that Hugging Face publishes,
///
///     t5/    config.json  spiece.model            model.safetensors
///     clip/  config.json  vocab.json  merges.txt  model.safetensors
///
/// Both vocabularies are learnt from the captions: their words become single tokens as far as the
/// limits allow. Equal options and captions give equal bytes. The folder appears whole;
/// kFailedPrecondition where it exists and is not empty.
Status make_encoders(const MakeEncodersOptions& options);

/// `titan make-encoders OUTPUT --captions PATH ...`; returns the exit code.
int make_encoders_main(const std::vector<std::string>& args);

}  // namespace titan
