// model_folder.h: a frozen network's files as users have them on disk: a Hugging Face folder, a
// diffusers pipeline, a Hugging Face cache, a file of Black Forest Labs. No torch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan {

struct ModelFolder {
  std::string role = {};     ///< what it is for, as it was asked for
  std::string path = {};     ///< of the folder
  std::string config = {};   ///< path of config.json; may be "" of an autoencoder
  std::string weights = {};  ///< file or index, for WeightSource::open
  /// Where the tokenizer's files may lie; the folder itself is the first.
  std::vector<std::string> places = {};

  /// Path of a file of the model (spiece.model, vocab.json, merges.txt). kNotFound says where it
  /// was looked for and how to get it.
  StatusOr<std::string> file(const std::string& name) const;
};

enum class Needs : std::uint8_t { kConfigAndWeights, kConfigOnly };

/// Finds what `path` means (resolve_model_path: a folder, a file, a cache, an id) for one `role`:
/// "t5", "clip" or "autoencoder", as scripts/download.sh calls them. Of a diffusers pipeline the
/// sub-folder is taken whose config.json fits ("text_encoder_2" for T5 in Flux), with the
/// tokenizer's folder beside it. kNotFound lists everything that is missing, where it was looked
/// for and the command that gets it.
StatusOr<ModelFolder> find_model_folder(const std::string& path, const std::string& role,
                                        Needs needs = Needs::kConfigAndWeights);

/// "scripts/download.sh ROLE DIR gets it".
std::string how_to_get(const std::string& role);

}  // namespace titan
