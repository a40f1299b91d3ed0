#include "titan/train/sample_writer.h"

#include <ATen/ops/stack.h>

#include "titan/base/log.h"
#include "titan/data/real_samples.h"
#include "titan/parallel/process_group.h"
#include "titan/train/prompts.h"
#include "titan/train/run_folder.h"
#include "titan/train/sampling.h"

namespace titan {
namespace {

std::string class_label(const std::vector<std::string>& names, int64_t id) {
  if (id >= 0 && static_cast<std::size_t>(id) < names.size())
    return names[static_cast<std::size_t>(id)];
  return str_cat("class ", id);
}

}  // namespace

SampleWriter::SampleWriter(const TrainerContext& context, const ModelSpec& spec,
                           const DataShape& shape, std::shared_ptr<const Dataset> dataset,
                           std::uint64_t seed)
    : context_(context), spec_(spec), shape_(shape), dataset_(std::move(dataset)), seed_(seed) {}

Status SampleWriter::write(BlockRunner& runner, int64_t step) const {
  const SamplingSection& config = context_.config.sampling;
  SamplePlan plan{.guidance = config.guidance,
                  .steps = config.steps,
                  .seed = static_cast<std::uint64_t>(config.seed),
                  .chunk = context_.config.training.batch_size};
  std::vector<std::string> labels;
  if (spec_.encoded_condition) {
    TITAN_ASSIGN_OR_RETURN(EncodedPrompts prompts, read_prompts(*dataset_, config.num_samples));
    TITAN_ASSIGN_OR_RETURN(plan.encoded,
                           spec_.encoded_condition(prompts.fields, context_.config, shape_));
    labels = std::move(prompts.labels);
  } else {
    plan.classes = classes_to_draw(config.classes, config.num_samples, shape_.num_classes);
    for (const int64_t id : plan.classes)
      labels.push_back(class_label(dataset_->class_names(), id));
  }
  TITAN_ASSIGN_OR_RETURN(const std::vector<at::Tensor> drawn,
                         draw_samples(runner, spec_, context_.config, shape_, plan, context_.device,
                                      context_.ranks.control()));
  if (!context_.rank.is_main()) return ok_status();
  std::vector<SampleGroup> groups;
  for (std::size_t i = 0; i < drawn.size(); ++i)
    groups.push_back({guidance_heading(config.guidance[i]), drawn[i]});
  if (config.show_real && !plan.encoded) {  // a preprocessed sample has no picture
    TITAN_ASSIGN_OR_RETURN(const at::Tensor real,
                           read_real_samples(*dataset_, plan.classes, seed_));
    groups.push_back({"real", real});
  }
  const std::string path = context_.run_folder.sample_path(step).string();
  TITAN_RETURN_IF_ERROR(write_sample_grid(path, groups, labels));
  TITAN_LOG(INFO) << "[sampling] " << path;
  return ok_status();
}

}  // namespace titan
