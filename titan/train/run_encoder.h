// run_encoder.h: a job's frozen encoders, filled from disk and, where parameters are sharded,
// shared by the ranks of each replica.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/parallel/device_mesh.h"
#include "titan/parallel/engine.h"
#include "titan/parallel/mesh_groups.h"
#include "titan/protocols/model_spec.h"

namespace titan {

class RunEncoder {
 public:
  /// The encoder that `spec` (its defaults filled in) makes of config.encoder; null where the job
  /// needs none. `open` connects ranks (every rank of the job calls); none is needed where
  /// parameters are not sharded. The networks compute in training.mixed_precision_param. Errors:
  /// missing files, weights that do not fit; the message says which and how to get them.
  static StatusOr<std::unique_ptr<RunEncoder>> open(const JobConfig& config, const ModelSpec& spec,
                                                    const parallel::DeviceMesh& mesh,
                                                    const parallel::OpenGroup& open,
                                                    at::Device device);
  /// On one rank alone, whatever the job's layout is.
  static StatusOr<std::unique_ptr<RunEncoder>> open_alone(const JobConfig& config,
                                                          const ModelSpec& spec, at::Device device);

  /// Whether what part.weights names could fill the network, by names and shapes: nothing is
  /// loaded, and the network may lie on the device meta. The same errors as open().
  static Status check(const EncoderPart& part);

  const BatchEncoder& encoder() const { return *encoder_; }
  /// Moves the batch to the device and encodes it. Where parameters are shared all ranks of a
  /// replica call.
  void encode(Batch& batch) const;
  /// Bytes that this rank holds of the networks.
  int64_t parameter_bytes() const { return parameter_bytes_; }

 private:
  RunEncoder(std::shared_ptr<BatchEncoder> encoder, at::Device device)
      : encoder_(std::move(encoder)), device_(device) {}
  Status fill(const EncoderPart& part);
  Status share(const EncoderPart& part, const parallel::EngineOptions& options,
               parallel::Communicator ranks);

  std::shared_ptr<BatchEncoder> encoder_;
  std::vector<std::unique_ptr<parallel::ParallelEngine>> engines_;
  at::Device device_;
  int64_t parameter_bytes_ = 0;
};

/// A batch as the objective takes it: on the device, encoded where there is an encoder.
void bring(Batch& batch, at::Device device, const RunEncoder* encoder);

}  // namespace titan
