// Trains and draws with titan's programs a Flux whose encoders are plain functions:
// infer_program --config=... trains, infer_program infer ... is `titan infer`.
#include <ATen/ATen.h>

#include <memory>
#include <string>
#include <vector>

#include "titan/base/hash.h"
#include "titan/base/log.h"
#include "titan/models/builtin.h"
#include "titan/protocols/model_spec.h"
#include "titan/tools/infer.h"
#include "titan/train/train_main.h"

namespace {

/// Prompts become waves whose phase is their hash; the first three channels of latents are a
/// picture.
class WaveEncoder : public titan::BatchEncoder {
 public:
  explicit WaveEncoder(const titan::JobConfig& config) : config_(config.encoder) {}

  std::vector<titan::EncoderPart> parts() const override { return {}; }
  bool encodes_images() const override { return false; }
  bool encodes_text() const override { return config_.t5_encoder == "waves"; }
  bool decodes() const override { return config_.autoencoder_path == "waves"; }
  titan::StatusOr<titan::DataShape> encoded_shape(const titan::DataShape& raw) const override {
    titan::DataShape shape = raw;
    shape.image = {16, raw.image[1] / 8, raw.image[2] / 8};
    shape.fields = {{"mean", shape.image},
                    {"t5_encodings", {config_.max_t5_encoding_len, config_.context_in_dim}},
                    {"clip_encodings", {config_.vec_in_dim}}};
    return shape;
  }
  void encode(titan::Batch&) const override {}
  titan::NamedTensors encode_text(const std::vector<std::string>& prompts) const override {
    std::vector<at::Tensor> t5, clip;
    for (const std::string& prompt : prompts) {
      const auto phase = static_cast<double>(titan::xxh3_64(prompt) % 1000);
      const int64_t tokens = config_.max_t5_encoding_len, width = config_.context_in_dim;
      t5.push_back(at::sin(at::arange(tokens * width, at::kFloat) + phase).view({tokens, width}));
      clip.push_back(at::cos(at::arange(config_.vec_in_dim, at::kFloat) + phase));
    }
    titan::NamedTensors fields;
    fields.set("t5_encodings", at::stack(t5));
    fields.set("clip_encodings", at::stack(clip));
    return fields;
  }
  at::Tensor decode(const at::Tensor& latents) const override {
    return at::tanh(latents.slice(1, 0, 3).to(at::kFloat));
  }

 private:
  titan::EncoderSection config_;
};

titan::Status register_waves() {
  TITAN_RETURN_IF_ERROR(titan::models::register_builtin_models());
  TITAN_ASSIGN_OR_RETURN(const titan::ModelSpec* flux, titan::find_model("flux"));
  titan::ModelSpec spec = *flux;
  spec.name = "flux_of_waves";
  spec.encoder =
      [](const titan::JobConfig& config,
         const titan::EncoderPlacement&) -> titan::StatusOr<std::shared_ptr<titan::BatchEncoder>> {
    const bool any = config.encoder.t5_encoder || config.encoder.autoencoder_path;
    return any ? std::make_shared<WaveEncoder>(config) : nullptr;
  };
  return titan::register_model(std::move(spec));
}

}  // namespace

int main(int argc, char** argv) {
  if (const titan::Status status = register_waves(); !status.ok()) {
    TITAN_LOG(ERROR) << titan::message_of(status);
    return 1;
  }
  if (argc > 1 && std::string(argv[1]) == "infer")
    return titan::infer_main({argv + 2, argv + argc});
  return titan::train_main(argc, argv);
}
