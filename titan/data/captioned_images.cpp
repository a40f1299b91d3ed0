// The reference's data sets of pictures with captions, by its names: tars, or a folder of
// save_to_disk.
#include <algorithm>
#include <array>
#include <utility>

#include "titan/config/job_config.h"
#include "titan/data/builtin_datasets.h"
#include "titan/data/dataset_path.h"
#include "titan/data/sample_parts.h"
#include "titan/data/saved_images.h"
#include "titan/data/webdataset.h"
#include "titan/io/saved_folder.h"

namespace titan {
namespace {

struct CaptionedSet {
  const char* name;
  bool is_cc12m;        ///< pictures smaller than asked are skipped
  bool is_coco;         ///< samples have a timestep
  int64_t max_samples;  ///< 0 = all
};

constexpr int64_t kCc12mPart = 30'000;
constexpr std::array<CaptionedSet, 5> kSets = {{{"cc12m_wds", true, false, 0},
                                                {"cc12m_wds_30k", true, false, kCc12mPart},
                                                {"cc12m_test", true, false, 0},
                                                {"cc12m_disk", true, false, 0},
                                                {"coco", false, true, 0}}};

}  // namespace

StatusOr<std::unique_ptr<Dataset>> open_captioned_images(const JobConfig& config) {
  const std::string& name = config.training.dataset;
  const auto* set = std::find_if(kSets.begin(), kSets.end(),
                                 [&](const CaptionedSet& known) { return name == known.name; });
  TITAN_CHECK(set != kSets.end(), "[data] not a set of captioned images (", name, ")");
  TrainingImageOptions image = training_image_options(config);
  image.skip_small = image.skip_small || set->is_cc12m;
  const std::string path = wanted_dataset_path(config);
  if (looks_like_saved_folder(path))
    return open_saved_images(path, {.speaker = name,
                                    .image = image,
                                    .is_coco = set->is_coco,
                                    .max_samples = set->max_samples});
  TITAN_ASSIGN_OR_RETURN(std::shared_ptr<const TarSet> tars, TarSet::open(config));
  WebDatasetRules rules;
  rules.image = image;
  rules.picture_extensions = {"png", "jpg", "jpeg", "webp"};
  rules.needs_caption = true;
  rules.is_coco = set->is_coco;
  rules.max_samples = set->max_samples;
  return make_webdataset(std::move(tars), std::move(rules));
}

}  // namespace titan
