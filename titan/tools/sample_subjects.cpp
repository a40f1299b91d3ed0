#include "titan/tools/sample_subjects.h"

#include <memory>
#include <utility>

#include "titan/tools/sample_output.h"
#include "titan/train/prompts.h"

namespace titan {
namespace {

StatusOr<EncodedPrompts> find_prompts(const SampleRequest& request, const ModelSpec& spec,
                                      const BatchEncoder* encoder) {
  const SamplingSection& sampling = request.config.sampling;
  if (!request.prompts.empty())
    return encode_prompts(request.prompts, request.num_pictures(), encoder);
  if (request.options.has("encodings"))
    return load_prompts(request.options.text("encodings", ""), sampling.num_samples);
  if (!sampling.prompts.empty())
    return encode_prompts(sampling.prompts, sampling.num_samples, encoder);
  const StatusOr<std::unique_ptr<Dataset>> dataset = spec.dataset(request.config);
  if (!dataset.ok()) {
    return annotate(dataset.status(),
                    "[sample] prompts come from the run's data set, or from --prompt, --prompts "
                    "FILE or --encodings FILE");
  }
  return read_prompts(**dataset, sampling.num_samples, encoder);
}

}  // namespace

std::vector<ShapeWish> Subjects::wishes() const {
  std::vector<ShapeWish> wanted;
  for (std::size_t k = 0; k < labels.size(); ++k) {
    const int label = plan.encoded ? -1 : static_cast<int>(plan.classes[k]);
    wanted.push_back(plan.encoded ? shape_wish(labels[k]) : ShapeWish{label, label});
  }
  return wanted;
}

StatusOr<Subjects> find_subjects(const SampleRequest& request, const ModelSpec& spec,
                                 const DataShape& shape, const BatchEncoder* encoder) {
  const JobConfig& config = request.config;
  Subjects subjects{.plan = {.guidance = config.sampling.guidance,
                             .steps = config.sampling.steps,
                             .seed = static_cast<std::uint64_t>(config.sampling.seed),
                             .chunk = config.training.batch_size},
                    .labels = {}};
  if (spec.encoded_condition) {
    TITAN_ASSIGN_OR_RETURN(EncodedPrompts prompts, find_prompts(request, spec, encoder));
    TITAN_ASSIGN_OR_RETURN(subjects.plan.encoded,
                           spec.encoded_condition(prompts.fields, config, shape, encoder));
    subjects.labels = std::move(prompts.labels);
    return subjects;
  }
  if (!request.prompts.empty())
    return invalid_argument("[sample] the model ", config.model.name,
                            " takes no text: --sampling.classes=3,5 chooses its classes");
  subjects.plan.classes =
      classes_to_draw(config.sampling.classes, config.sampling.num_samples, shape.num_classes);
  for (const int64_t id : subjects.plan.classes)
    subjects.labels.push_back(label_of(request.info, id));
  return subjects;
}

}  // namespace titan
