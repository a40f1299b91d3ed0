#include "titan/models/flux/encoder.h"

#include <optional>
#include <utility>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include "titan/base/check.h"
#include "titan/models/flux/encoder_parts.h"
#include "titan/models/flux/objective.h"
#include "titan/models/flux/text_cache.h"

namespace titan::models {
namespace {

class FluxEncoder : public BatchEncoder {
 public:
  FluxEncoder(const EncoderPlacement& placement, const LatentScaling& scaling, T5Part t5,
              ClipPart clip, ImagePart image, int64_t keep_texts)
      : placement_(placement),
        scaling_(scaling),
        t5_(std::move(t5)),
        clip_(std::move(clip)),
        image_(std::move(image)) {
    // Ranks that share the networks must run them together, whatever each has kept.
    if (keep_texts > 0 && !placement.shared)
      kept_texts_ = std::make_unique<TextCache>(static_cast<std::size_t>(keep_texts));
  }

  std::vector<EncoderPart> parts() const override {
    std::vector<EncoderPart> parts;
    if (t5_) parts.push_back({"t5", t5_.network, t5_.weights, /*shardable=*/true});
    if (clip_) parts.push_back({"clip", clip_.network, clip_.weights, /*shardable=*/true});
    if (image_.coder)
      if (std::optional<EncoderPart> part = image_.coder->part()) parts.push_back(*part);
    return parts;
  }
  bool encodes_images() const override { return image_.coder != nullptr; }
  bool encodes_text() const override { return t5_ && clip_; }
  bool decodes() const override { return static_cast<bool>(image_); }

  StatusOr<DataShape> encoded_shape(const DataShape& raw) const override;
  void encode(Batch& batch) const override;
  NamedTensors encode_text(const std::vector<std::string>& prompts) const override;
  at::Tensor decode(const at::Tensor& latents) const override;

 private:
  void encode_image(Batch& batch) const;
  NamedTensors encode_anew(const std::vector<std::string>& prompts) const;

  EncoderPlacement placement_;
  LatentScaling scaling_;
  T5Part t5_;
  ClipPart clip_;
  ImagePart image_;
  std::unique_ptr<TextCache> kept_texts_;  ///< null where nothing is kept
};

StatusOr<DataShape> FluxEncoder::encoded_shape(const DataShape& raw) const {
  DataShape shape = raw;
  const bool is_picture = raw.has("image") && raw.image.size() == 3 && raw.image[0] == 3;
  if (is_picture && encodes_images()) {
    const int64_t patch = image_.coder->reduction();
    if (raw.image[1] % patch != 0 || raw.image[2] % patch != 0) {
      return invalid_argument("[encoder] pictures must be a multiple of ", patch,
                              " pixels wide and high (", raw.image[2], " x ", raw.image[1],
                              "); set training.img_size or dataset.image_size");
    }
    shape.image = {image_.coder->channels(), raw.image[1] / patch, raw.image[2] / patch};
    shape.fields.erase("image");
    shape.fields["mean"] = shape.fields["logvar"] = shape.image;
  }
  if (encodes_text() && !raw.has("t5_encodings")) {
    shape.fields["t5_encodings"] = {t5_.length, t5_.width};
    shape.fields["clip_encodings"] = {clip_.width};
  }
  return shape;
}

void FluxEncoder::encode_image(Batch& batch) const {
  const at::Tensor image = batch.fields.get("image").to(placement_.dtype);
  batch.fields.erase("image");
  const Posterior posterior = image_.coder->encode(image);
  batch.fields.set("mean", posterior.mean);
  batch.fields.set("logvar", posterior.logvar);
}

void FluxEncoder::encode(Batch& batch) const {
  const at::NoGradGuard no_grad;
  const at::Tensor image = batch.fields.get("image");
  if (encodes_images() && image.defined() && image.dim() == 4 && image.size(1) == 3)
    encode_image(batch);
  if (!encodes_text() || batch.fields.contains("t5_encodings")) return;
  std::vector<std::string> captions = batch.captions;
  captions.resize(static_cast<std::size_t>(batch.size()));  // no caption is the empty one
  for (NamedTensors::Entry& field : encode_text(captions))
    batch.fields.set(field.first, std::move(field.second));
}

NamedTensors FluxEncoder::encode_text(const std::vector<std::string>& prompts) const {
  const at::NoGradGuard no_grad;
  TITAN_CHECK(encodes_text(), "[encoder] this job has no text encoders");
  NamedTensors fields;
  const at::Device device = placement_.device;
  if (device.is_meta()) {  // shapes alone are asked for
    const auto count = static_cast<int64_t>(prompts.size());
    const auto options = at::TensorOptions().device(device).dtype(placement_.dtype);
    fields.set("t5_encodings", at::empty({count, t5_.length, t5_.width}, options));
    fields.set("clip_encodings", at::empty({count, clip_.width}, options));
    return fields;
  }
  if (!kept_texts_ || prompts.empty()) return encode_anew(prompts);
  // One at a time: the bits of an encoding must not hang on what stood beside it at first.
  std::vector<at::Tensor> t5, clip;
  for (const std::string& prompt : prompts) {
    const NamedTensors& one =
        kept_texts_->of(prompt, [&](const std::string& text) { return encode_anew({text}); });
    t5.push_back(one.get("t5_encodings"));
    clip.push_back(one.get("clip_encodings"));
  }
  fields.set("t5_encodings", at::cat(t5));
  fields.set("clip_encodings", at::cat(clip));
  return fields;
}

NamedTensors FluxEncoder::encode_anew(const std::vector<std::string>& prompts) const {
  NamedTensors fields;
  const at::Device device = placement_.device;
  fields.set("t5_encodings", t5_.network->forward(t5_.tokens(prompts, device)));
  fields.set("clip_encodings", clip_.network->forward(clip_.tokens(prompts, device)));
  return fields;
}

at::Tensor FluxEncoder::decode(const at::Tensor& latents) const {
  const at::NoGradGuard no_grad;
  TITAN_CHECK(decodes(), "[encoder] this job has no decoder of latents");
  const at::Tensor z = unscale_latents(latents.to(at::kFloat), scaling_);
  const at::Tensor picture =
      image_.decoder ? image_.decoder->decode(z) : image_.coder->decode(z.to(placement_.dtype));
  return picture.to(at::kFloat).clamp(-1, 1);
}

}  // namespace

StatusOr<std::shared_ptr<BatchEncoder>> make_flux_encoder(const JobConfig& job,
                                                          const EncoderPlacement& placement) {
  TITAN_ASSIGN_OR_RETURN(T5Part t5, make_t5_part(job.encoder, placement));
  TITAN_ASSIGN_OR_RETURN(ClipPart clip, make_clip_part(job.encoder, placement));
  if (static_cast<bool>(t5) != static_cast<bool>(clip)) {
    return invalid_argument("[encoder] Flux takes both text encoders or none: ",
                            t5 ? "encoder.clip_encoder" : "encoder.t5_encoder",
                            " is not set (scripts/download.sh ", t5 ? "clip" : "t5",
                            " DIR fetches it)");
  }
  TITAN_ASSIGN_OR_RETURN(const ImagePart image, make_image_part(job.encoder, placement));
  if (!t5 && !image) return std::shared_ptr<BatchEncoder>();
  return std::shared_ptr<BatchEncoder>(std::make_shared<FluxEncoder>(
      placement, LatentScaling{job.encoder.autoencoder_shift, job.encoder.autoencoder_scale},
      std::move(t5), std::move(clip), image, job.encoder.keep_texts));
}

}  // namespace titan::models
