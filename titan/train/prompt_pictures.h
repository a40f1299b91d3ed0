// prompt_pictures.h: a PNG for each of many prompts, drawn by all ranks, kept over kills.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/train/job_main.h"
#include "titan/train/picture_settings.h"

namespace titan {

namespace parallel {
class Communicator;
}

struct PromptPictures {
  std::vector<std::string> prompts;  ///< picture k is of prompt k
  std::vector<double> guidance;      ///< scales; a picture of each prompt for each
  int64_t batch_size = 16;           ///< pictures per forward
  std::filesystem::path folder;      ///< exists
  PictureSettings settings;
  double progress_s = 10;  ///< between lines about progress

  /// folder/img_000012.png; with several scales img_000012_guidance_4.png.
  std::string path_of(int64_t number, double scale) const;
};

/// Pictures [n, 3, H, W] in [-1, 1], for each of the guidance scales, of prompts first,
/// first + 1, ...
using DrawPrompts = std::function<StatusOr<std::vector<at::Tensor>>(
    int64_t first, const std::vector<std::string>& prompts)>;

/// Collective. Draws every picture that is not in the folder yet (is_drawn), each rank a batch at a
/// time, and writes it whole with its words. Batches are cut by number, whatever is there already:
/// the pixels are the same for any number of ranks, and after a kill. All ranks call `draw` equally
/// often. `signal` gives the number of a signal that came, or 0: then all stop behind their batch
/// (kStopped).
StatusOr<JobOutcome> draw_prompt_pictures(const PromptPictures& job, const DrawPrompts& draw,
                                          parallel::Communicator& ranks,
                                          const std::function<int()>& signal);

/// Pictures of a page, and the pages' paths: grid.png, grid-002.png, ...
inline constexpr int64_t kPicturesOfPage = 64;
std::string page_path(const std::filesystem::path& folder, int64_t page);

/// Collective; all pictures are there. Pages of labelled pictures, scales side by side; pages of an
/// earlier, longer job are removed.
Status write_prompt_pages(const PromptPictures& job, parallel::Communicator& ranks);

}  // namespace titan
