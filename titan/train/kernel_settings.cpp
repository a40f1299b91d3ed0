#include "titan/train/kernel_settings.h"

#include "titan/base/log.h"
#include "titan/ops/attention_backend.h"
#include "titan/ops/backend.h"

namespace titan {

Status choose_kernels(const JobConfig& config, c10::DeviceType device) {
  if (!config.training.compile)
    TITAN_LOG(INFO) << "[kernels] plain operations of LibTorch (training.compile=false)";
  TITAN_RETURN_IF_ERROR(
      ops::set_backend(config.training.compile ? config.kernels.backend : "reference"));
  return ops::set_attention_backend(config.attention.backend, device);
}

}  // namespace titan
