// batch_encoder.h: from pictures and captions to what a model trains on, and from its latents back
// to pictures.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/base/status.h"
#include "titan/data/batch.h"
#include "titan/protocols/data_shape.h"
#include "titan/protocols/frozen_network.h"

namespace titan {

/// One network of an encoder, and where its weights are.
struct EncoderPart {
  std::string name;                        ///< for messages: "t5"
  std::shared_ptr<FrozenNetwork> network;  ///< built, not filled
  std::string weights;                     ///< as checkpoint::WeightSource takes them
  bool shardable = true;                   ///< worth sharing over ranks
};

/// Where an encoder's networks are built.
struct EncoderPlacement {
  at::Device device = at::kCPU;       ///< that it computes on
  at::ScalarType dtype = at::kFloat;  ///< that it computes in
  /// The shardable networks lie on the device meta, in float32: an engine will give each rank its
  /// part of them, and compute in `dtype`.
  bool shared = false;
};

/// Uses networks that someone else fills (train/run_encoder.h). Nothing is recorded for gradients.
class BatchEncoder {
 public:
  virtual ~BatchEncoder() = default;

  /// The networks that must be filled.
  virtual std::vector<EncoderPart> parts() const = 0;
  virtual bool encodes_images() const = 0;  ///< pictures become latents
  virtual bool encodes_text() const = 0;    ///< captions become encodings
  virtual bool decodes() const = 0;         ///< latents become pictures

  /// What encode() makes of samples of this shape. An error where they cannot be encoded.
  virtual StatusOr<DataShape> encoded_shape(const DataShape& raw) const = 0;

  /// Replaces "image" [B, 3, H, W] in [-1, 1] by what the autoencoder says of it, and adds what the
  /// text encoders say of the captions. `batch` lies on the encoder's device.
  virtual void encode(Batch& batch) const = 0;
  /// The text part alone: the fields of n prompts, [n, ...] each.
  virtual NamedTensors encode_text(const std::vector<std::string>& prompts) const = 0;
  /// Pictures [B, 3, H, W] in [-1, 1] (float32, clamped) of latents [B, C, h, w] as the model sees
  /// them.
  virtual at::Tensor decode(const at::Tensor& latents) const = 0;
};

}  // namespace titan
