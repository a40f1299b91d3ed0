// model.h: settings of the model and the frozen encoders before it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "titan/config/arg_table.h"
#include "titan/config/fields.h"

namespace titan {

struct ModelSection {
  std::string name = "dit";
  std::string flavor = "debugmodel";
  std::vector<std::string> converters = {};
  bool print_after_conversion = false;
  ArgTable args;  ///< [model.args]: decoded by the model's own field list over the flavor's values
};
template <class V>
void visit_fields(ModelSection& c, V&& v) {
  v("name", c.name, "registered model");
  v("flavor", c.flavor, "size of the model, as the model's table names it");
  v("converters", c.converters, "what is changed in a model once it is built; float8 = [float8]",
    rule::one_of({"float8"}));
  v("print_after_conversion", c.print_after_conversion, "list what the converters changed");
}

struct EncoderSection {
  std::optional<std::string> t5_encoder;
  std::optional<std::string> clip_encoder;
  std::optional<std::string> autoencoder_path;
  int64_t pixel_patch = 0;
  std::optional<std::string> decoder_path;
  double autoencoder_shift = 0.1159;
  double autoencoder_scale = 0.3611;
  int64_t max_t5_encoding_len = 256;
  int64_t context_in_dim = 4096;
  int64_t vec_in_dim = 768;
  std::optional<std::string> empty_encodings_path;
  int64_t keep_texts = 0;
};
template <class V>
void visit_fields(EncoderSection& c, V&& v) {
  v("t5_encoder", c.t5_encoder,
    "folder of the T5 encoder (config.json, spiece.model, weights), or of a Hugging Face cache; "
    "unset or empty = not loaded");
  v("clip_encoder", c.clip_encoder,
    "folder of the CLIP text encoder (config.json, vocab.json, merges.txt, weights); unset or "
    "empty = not loaded");
  v("autoencoder_path", c.autoencoder_path,
    "autoencoder's safetensors file (Black Forest Labs' names) or diffusers folder; unset or empty "
    "= not loaded");
  v("pixel_patch", c.pixel_patch,
    "n > 0: instead of an autoencoder each n x n square of pixels becomes 3 n^2 channels",
    rule::at_least(0));
  v("decoder_path", c.decoder_path,
    "TorchScript module that turns latents into pictures, where it is not the autoencoder");
  v("autoencoder_shift", c.autoencoder_shift,
    "the model sees (latent - shift) x scale; 0 is a value, not a blank");
  v("autoencoder_scale", c.autoencoder_scale, "see autoencoder_shift", rule::above(0));
  v("max_t5_encoding_len", c.max_t5_encoding_len, "text tokens of a sample", rule::at_least(1));
  v("context_in_dim", c.context_in_dim, "width of the T5 encodings", rule::at_least(1));
  v("vec_in_dim", c.vec_in_dim, "width of the pooled CLIP encoding", rule::at_least(1));
  v("empty_encodings_path", c.empty_encodings_path,
    "folder with t5_empty.npy and clip_empty.npy, the encodings of the empty prompt");
  v("keep_texts", c.keep_texts,
    "n > 0: the encodings of the last n different captions are kept, for data whose captions come "
    "again; each caption is then encoded alone. Not where ranks share the encoders",
    rule::at_least(0));
}

}  // namespace titan
