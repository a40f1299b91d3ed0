#include "titan/tools/data/latent_encoder.h"

#include <ATen/ATen.h>

#include <utility>
#include <vector>

#include "titan/checkpoint/checkpoint_item.h"
#include "titan/checkpoint/recipe_reader.h"
#include "titan/models/encoders/autoencoder.h"
#include "titan/models/encoders/scripted_decoder.h"
#include "titan/ops/philox.h"
#include "titan/train/run_weights.h"

namespace titan::tools {
namespace {

/// Every parameter as one item, so that weights are loaded as into a run.
std::vector<checkpoint::CheckpointItem> items_of(const FrozenNetwork& network) {
  std::vector<checkpoint::CheckpointItem> items;
  for (const ModelUnit& unit : network.units())
    for (std::size_t i = 0; i < unit.parameters.size(); ++i)
      items.push_back(checkpoint::whole_item("model", unit.parameter_names[i], unit.parameters[i]));
  return items;
}

class AutoencoderLatents : public LatentEncoder {
 public:
  AutoencoderLatents(std::unique_ptr<models::Autoencoder> network, bool sampled, std::uint64_t seed,
                     at::Device device)
      : network_(std::move(network)), sampled_(sampled), seed_(seed), device_(device) {}

  at::Tensor encode(const at::Tensor& images, int64_t first_row) const override {
    const at::NoGradGuard no_grad;
    const models::Posterior posterior = network_->encode(images.to(device_));
    const at::Tensor mean = posterior.mean.to(at::kFloat);
    if (!sampled_) return mean.cpu();
    const at::Tensor rows =
        at::arange(first_row, first_row + images.size(0), at::TensorOptions().dtype(at::kLong))
            .to(device_);
    const at::Tensor noise = ops::philox_normal(rows, at::zeros_like(rows), mean.sizes().slice(1),
                                                seed_, RandomPurpose::kLatent);
    return (mean + (posterior.logvar.to(at::kFloat) / 2).exp() * noise).cpu();
  }

 private:
  std::unique_ptr<models::Autoencoder> network_;
  bool sampled_;
  std::uint64_t seed_;
  at::Device device_;
};

class ScriptedLatents : public LatentEncoder {
 public:
  ScriptedLatents(models::ScriptedModule module, at::Device device)
      : module_(std::move(module)), device_(device) {}

  at::Tensor encode(const at::Tensor& images, int64_t /*first_row*/) const override {
    return module_.encode(images.to(device_)).to(at::kFloat).cpu();
  }

 private:
  models::ScriptedModule module_;
  at::Device device_;
};

}  // namespace

StatusOr<std::unique_ptr<LatentEncoder>> open_autoencoder(const std::string& weights, bool sampled,
                                                          std::uint64_t seed, at::Device device) {
  TITAN_ASSIGN_OR_RETURN(const models::AutoencoderConfig config,
                         models::read_autoencoder_config(weights));
  auto network = std::make_unique<models::Autoencoder>(
      config, at::TensorOptions().dtype(at::kFloat).device(device));
  const std::vector<checkpoint::CheckpointItem> items = items_of(*network);
  TITAN_RETURN_IF_ERROR(load_published_weights(weights, *network->weight_formats(), items,
                                               checkpoint::tensors_of(items), /*verify=*/false));
  return std::make_unique<AutoencoderLatents>(std::move(network), sampled, seed, device);
}

StatusOr<std::unique_ptr<LatentEncoder>> open_torchscript(const std::string& path,
                                                          at::Device device) {
  TITAN_ASSIGN_OR_RETURN(models::ScriptedModule module, models::ScriptedModule::open(path, device));
  return std::make_unique<ScriptedLatents>(std::move(module), device);
}

}  // namespace titan::tools
