#include "titan/data/dataset_path.h"

#include <algorithm>
#include <array>
#include <system_error>

#include "titan/config/job_config.h"
#include "titan/config/mounted_folders.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

struct KnownSource {
  const char* name;
  const char* usual_path;  ///< nullptr: none
  const char* fetch;       ///< the command that gets it into a folder DIR
};

constexpr const char* kFetchCc12m = "scripts/download.sh cc12m DIR";

constexpr std::array<KnownSource, 7> kSources = {{
    {"cc12m_wds", "pixparse/cc12m-wds", kFetchCc12m},
    {"cc12m_wds_30k", "pixparse/cc12m-wds", kFetchCc12m},
    {"cc12m_test", "torchtitan/experiments/flux/tests/assets/cc12m_test",
     "git clone --depth 1 https://github.com/pytorch/torchtitan (DIR = "
     "torchtitan/torchtitan/experiments/flux/tests/assets/cc12m_test)"},
    {"cc12m_disk", "/dataset/cc12m_disk",
     "scripts/download.sh cc12m TARS, titan convert-data clean-cc12m TARS DIR"},
    {"cc12m_preprocessed", "/dataset/cc12m_preprocessed",
     "scripts/download.sh cc12m-preprocessed DIR"},
    {"coco", "/dataset/coco", "scripts/download.sh coco DIR"},
    {"coco_preprocessed", "/dataset/coco_preprocessed",
     "scripts/download.sh coco-preprocessed DIR"},
}};

const KnownSource* find_source(const std::string& name) {
  const auto* found = std::find_if(kSources.begin(), kSources.end(),
                                   [&](const KnownSource& known) { return name == known.name; });
  return found == kSources.end() ? nullptr : found;
}

}  // namespace

std::string wanted_dataset_path(const JobConfig& config) {
  const std::string path = config.training.dataset_path.value_or("");
  const KnownSource* known = find_source(config.training.dataset);
  return path.empty() && known != nullptr ? config::resolve_mounted_path(known->usual_path) : path;
}

Status dataset_missing(const JobConfig& config) {
  const std::string& name = config.training.dataset;
  const bool is_set = !config.training.dataset_path.value_or("").empty();
  const KnownSource* known = find_source(name);
  if (known == nullptr && !is_set)
    return invalid_argument("[", name, "] training.dataset_path is not set");
  std::string why =
      is_set ? str_cat("training.dataset_path does not exist (", *config.training.dataset_path, ")")
             : str_cat("training.dataset_path is not set and its usual place does not exist (",
                       known->usual_path, ")");
  if (known != nullptr)
    why += str_cat("; to get it: ", known->fetch, ", then --training.dataset_path=DIR");
  return not_found("[", name, "] ", why);
}

StatusOr<fs::path> dataset_path(const JobConfig& config) {
  const std::string path = wanted_dataset_path(config);
  std::error_code error;
  if (path.empty() || !fs::exists(path, error)) return dataset_missing(config);
  return fs::path(path);
}

}  // namespace titan
