// sample_writer.h: the sample grids of a run.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/protocols/model_spec.h"
#include "titan/train/trainer.h"

namespace titan {

class RunEncoder;

/// What a grid shows.
struct SampleSource {
  /// Gives captions and real pictures.
  std::shared_ptr<const Dataset> dataset;
  /// Texts to draw; empty = captions of the first samples.
  std::vector<std::string> prompts = {};
  int64_t count = 16;
};

/// Draws `count` pictures for each guidance scale of [sampling]: class or caption under each
/// picture, scales side by side, real pictures of the same classes beside them on wish. Latents are
/// decoded where the job has a decoder.
class SampleWriter {
 public:
  /// `encoder`: null where the job has none; outlives this object.
  SampleWriter(const TrainerContext& context, const ModelSpec& spec, const DataShape& shape,
               SampleSource source, const RunEncoder* encoder, std::uint64_t seed);

  /// All ranks call; rank 0 writes the PNG. `stop`: see draw_samples.
  Status write(BlockRunner& runner, const std::string& path,
               const std::function<bool()>& stop = {}) const;

 private:
  TrainerContext context_;
  const ModelSpec& spec_;
  DataShape shape_;
  SampleSource source_;
  const BatchEncoder* encoder_;
  std::uint64_t seed_;
};

}  // namespace titan
