#include "titan/data/image_sample.h"

#include <utility>

#include "titan/data/encoded_rows.h"
#include "titan/data/sample_parts.h"
#include "titan/data/webdataset_fields.h"

namespace titan {
namespace {

// A text of 10,000 words has some 60 kB; what is larger is no caption.
constexpr std::size_t kMaxCaptionBytes = 1 << 20;

Status check_facts(const ImageFacts& facts) {
  if (facts.caption.size() > kMaxCaptionBytes)
    return data_loss("the caption is too long (", facts.caption.size(), " bytes, at most ",
                     kMaxCaptionBytes, ")");
  if (!is_utf8(facts.caption)) return data_loss("the caption is not UTF-8");
  if (facts.timestep && (*facts.timestep < 0 || *facts.timestep >= kNumEvalTimesteps))
    return invalid_argument("timestep out of range (", *facts.timestep, ", it must be 0 to ",
                            kNumEvalTimesteps - 1, ")");
  return ok_status();
}

ImageDrawKey draw_key(int64_t index, const DrawKey& key) {
  return {.seed = key.seed, .epoch = key.epoch, .sample = static_cast<std::uint64_t>(index)};
}

Sample assemble(const Image& image, ImageFacts facts) {
  Sample sample;
  sample.fields.set("image", image_tensor(image));
  if (facts.label) sample.fields.set("label", label_tensor(*facts.label));
  if (facts.timestep) sample.fields.set("timestep", label_tensor(*facts.timestep));
  sample.caption = std::move(facts.caption);
  sample.key = std::move(facts.key);
  return sample;
}

}  // namespace

StatusOr<Sample> image_sample(std::string_view bytes, ImageFacts facts,
                              const TrainingImageOptions& options, int64_t index,
                              const DrawKey& key) {
  TITAN_RETURN_IF_ERROR(check_facts(facts));
  TITAN_ASSIGN_OR_RETURN(
      const Image image,
      load_training_image({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()},
                          options, draw_key(index, key)));
  return assemble(image, std::move(facts));
}

StatusOr<Sample> image_sample(Image decoded, ImageFacts facts, const TrainingImageOptions& options,
                              int64_t index, const DrawKey& key) {
  TITAN_RETURN_IF_ERROR(check_facts(facts));
  TITAN_ASSIGN_OR_RETURN(const Image image,
                         prepare_training_image(std::move(decoded), options, draw_key(index, key)));
  return assemble(image, std::move(facts));
}

}  // namespace titan
