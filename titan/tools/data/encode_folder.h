// encode_folder.h: `titan convert-data encode-folder`: a class folder as latents, encoded once.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan::tools {

struct EncodeFolderOptions {
  std::string input;   ///< <class>/**/<picture>; classes are the sub-folders in sorted order
  std::string output;  ///< must not exist, or be empty; appears whole or not at all
  std::string autoencoder = {};  ///< weights of our autoencoder, ...
  std::string torchscript = {};  ///< ... or a TorchScript encoder; exactly one of the two
  int64_t image_size = 256;
  /// What the autoencoder's result stands for: "mean", or "sampled": mean + exp(logvar / 2) *
  /// noise, the noise a pure function of seed and row. TorchScript encoders give latents as they
  /// are.
  std::string latents = "mean";
  std::uint64_t seed = 0;
  bool flip = false;  ///< each picture's mirror image behind it
  /// Stored are scale * (latent - shift); unset: 0.3611 and 0.1159 (Flux's) for an autoencoder, 1
  /// and 0 for TorchScript.
  double scale = 0, shift = 0;
  bool has_scale = false, has_shift = false;
  std::string dtype = "float16";  ///< of the file: float32, float16, bfloat16
  std::string device = "auto";    ///< job.device
  int64_t batch_size = 16;        ///< pictures encoded at once
  int64_t rows_per_file = 10'000;
  int64_t num_threads = 0;  ///< that decode; 0 = one a core
};

/// Writes latents-00000.safetensors, ... with `latents` [n, C, h, w] and `labels` [n] int64, and
/// classes.txt: what training.dataset = "latents" reads. Pictures are resized to cover the square
/// and cropped in the middle. One that cannot be read is an error that names it.
Status encode_folder(const EncodeFolderOptions& options);

int encode_folder_main(const std::vector<std::string>& args);

}  // namespace titan::tools
