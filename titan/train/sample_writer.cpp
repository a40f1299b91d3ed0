#include "titan/train/sample_writer.h"

#include <ATen/ops/stack.h>

#include "titan/base/log.h"
#include "titan/data/real_samples.h"
#include "titan/parallel/process_group.h"
#include "titan/train/prompts.h"
#include "titan/train/run_encoder.h"
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
                           const DataShape& shape, SampleSource source, const RunEncoder* encoder,
                           std::uint64_t seed)
    : context_(context),
      spec_(spec),
      shape_(shape),
      source_(std::move(source)),
      encoder_(encoder == nullptr ? nullptr : &encoder->encoder()),
      seed_(seed) {}

Status SampleWriter::write(BlockRunner& runner, const std::string& path,
                           const std::function<bool()>& stop) const {
  const SamplingSection& config = context_.config.sampling;
  SamplePlan plan{.guidance = config.guidance,
                  .steps = config.steps,
                  .seed = static_cast<std::uint64_t>(config.seed),
                  .chunk = context_.config.training.batch_size};
  std::vector<std::string> labels;
  if (spec_.encoded_condition) {
    TITAN_ASSIGN_OR_RETURN(EncodedPrompts prompts,
                           source_.prompts.empty()
                               ? read_prompts(*source_.dataset, source_.count, encoder_)
                               : encode_prompts(source_.prompts, source_.count, encoder_));
    TITAN_ASSIGN_OR_RETURN(
        plan.encoded, spec_.encoded_condition(prompts.fields, context_.config, shape_, encoder_));
    labels = std::move(prompts.labels);
  } else {
    plan.classes = classes_to_draw(config.classes, source_.count, shape_.num_classes);
    for (const int64_t id : plan.classes)
      labels.push_back(class_label(source_.dataset->class_names(), id));
  }
  TITAN_ASSIGN_OR_RETURN(const std::vector<at::Tensor> drawn,
                         draw_samples(runner, spec_, context_.config, shape_, plan, context_.device,
                                      context_.ranks.control(), stop));
  if (!context_.rank.is_main()) return ok_status();
  std::vector<SampleGroup> groups;
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    groups.push_back({guidance_heading(config.guidance[i]),
                      decode_samples(drawn[i], encoder_, plan.chunk, context_.device)});
  }
  if (config.show_real && !plan.encoded) {  // a preprocessed sample has no picture
    TITAN_ASSIGN_OR_RETURN(const at::Tensor real,
                           read_real_samples(*source_.dataset, plan.classes, seed_));
    groups.push_back({"real", real});
  }
  TITAN_RETURN_IF_ERROR(write_sample_grid(path, groups, labels));
  TITAN_LOG(INFO) << "[sampling] " << path;
  return ok_status();
}

}  // namespace titan
