#include <map>
#include <mutex>

#include "titan/config/job_config.h"
#include "titan/data/builtin_datasets.h"
#include "titan/data/dataset.h"

namespace titan {
namespace {

using Factories = std::map<std::string, DatasetFactory>;

Factories builtin() {
  return {{"synthetic", open_synthetic},
          {"cifar10", open_cifar10},
          {"class_folder", open_class_folder},
          {"image_folder", open_image_folder},
          {"webdataset", open_webdataset},
          {"mds", open_mds},
          {"latents", open_latents},
          {"cc12m_wds", open_captioned_images},
          {"cc12m_wds_30k", open_captioned_images},
          {"cc12m_test", open_captioned_images},
          {"cc12m_disk", open_captioned_images},
          {"coco", open_captioned_images},
          {"dummy", open_dummy},
          {"cc12m_preprocessed", open_cc12m_preprocessed},
          {"coco_preprocessed", open_coco_preprocessed},
          {"flux_synthetic", open_flux_synthetic}};
}

struct Registry {
  std::mutex mutex;
  Factories factories = builtin();
};

Registry& registry() {
  static Registry instance;
  return instance;
}

}  // namespace

StatusOr<std::unique_ptr<Dataset>> open_dataset(const JobConfig& config) {
  DatasetFactory factory = nullptr;
  std::string known;
  {
    const std::lock_guard<std::mutex> lock(registry().mutex);
    for (const auto& [name, candidate] : registry().factories) {
      known += (known.empty() ? "" : ", ") + name;
      if (name == config.training.dataset) factory = candidate;
    }
  }
  if (factory == nullptr)
    return not_found("[data] training.dataset names no known data set ('", config.training.dataset,
                     "'; known: ", known, ")");
  return factory(config);
}

Status register_dataset(const std::string& name, DatasetFactory factory) {
  const std::lock_guard<std::mutex> lock(registry().mutex);
  if (!registry().factories.emplace(name, factory).second)
    return {absl::StatusCode::kAlreadyExists,
            str_cat("[data] a data set of this name exists ('", name, "')")};
  return ok_status();
}

void reset_dataset_registry() {
  const std::lock_guard<std::mutex> lock(registry().mutex);
  registry().factories = builtin();
}

}  // namespace titan
