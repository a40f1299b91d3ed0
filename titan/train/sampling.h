// sampling.h: pictures from a model, drawn by all ranks together, and the grid they are shown in.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/image.h"
#include "titan/io/png_text.h"
#include "titan/protocols/model_spec.h"

namespace titan {

namespace parallel {
class Communicator;
}

struct SamplePlan {
  std::vector<int64_t> classes = {};              ///< class of each picture, or
  std::optional<SamplingCondition> encoded = {};  ///< its prompt's encodings, [n, ...] each
  std::vector<double> guidance;                   ///< one set of pictures per scale
  int64_t steps = 32;
  std::uint64_t seed = 0;
  int64_t chunk = 16;  ///< pictures per forward
  int64_t first = 0;   ///< number of the first picture

  /// Pictures per guidance scale.
  int64_t count() const;
};

/// The classes to draw: `wanted` repeated up to `count`; 0, 1, 2, ... where it is empty.
std::vector<int64_t> classes_to_draw(const std::vector<int64_t>& wanted, int64_t count,
                                     int64_t num_classes);

/// One tensor [n, C, H, W] float32 on the CPU per guidance scale. Picture k starts from noise keyed
/// by (seed, first + k), so it is the same for every number of ranks and every chunk. All ranks
/// call; each draws its share. `stop`, if given, is asked before each use of the model, on all
/// ranks together, and must answer the same on all: true ends with kCancelled.
StatusOr<std::vector<at::Tensor>> draw_samples(BlockRunner& runner, const ModelSpec& spec,
                                               const JobConfig& config, const DataShape& shape,
                                               const SamplePlan& plan, c10::Device device,
                                               parallel::Communicator& communicator,
                                               const std::function<bool()>& stop = {});

/// Pictures [n, 3, H, W] of drawn latents, `chunk` at a time on the device; the latents themselves
/// where `encoder` is null or has no decoder. On the CPU.
at::Tensor decode_samples(const at::Tensor& drawn, const BatchEncoder* encoder, int64_t chunk,
                          c10::Device device);

/// [C, H, W] in [-1, 1] to RGB: three channels as they are, one as gray. Latents have no decoder
/// here: their first three channels, each stretched to its own range, give a preview.
Image to_image(const at::Tensor& chw);

/// "guidance 3"
std::string guidance_heading(double scale);

/// One group of pictures in a grid.
struct SampleGroup {
  std::string heading;  ///< "guidance 3.0", "real"
  at::Tensor pictures;  ///< [n, C, H, W]
};
/// Writes groups side by side with `labels` (n) under the pictures, as PNG with `text` in it.
Status write_sample_grid(const std::string& path, const std::vector<SampleGroup>& groups,
                         const std::vector<std::string>& labels, const PngText& text = {});

}  // namespace titan
