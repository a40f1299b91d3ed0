#include "titan/train/run_pictures.h"

#include <utility>

#include "titan/base/log.h"
#include "titan/train/run_encoder.h"
#include "titan/train/run_folder.h"

namespace titan {

RunPictures::RunPictures(const TrainerContext& context, const ModelSpec& spec,
                         const DataShape& shape, std::shared_ptr<const Dataset> training,
                         std::shared_ptr<const Dataset> evaluation, const RunEncoder* encoder,
                         std::uint64_t seed)
    : context_(context) {
  const JobConfig& config = context.config;
  if (config.sampling.enable) {
    regular_ = std::make_unique<SampleWriter>(
        context, spec, shape,
        SampleSource{std::move(training), config.sampling.prompts, config.sampling.num_samples},
        encoder, seed);
  }
  if (config.eval.save_img_folder.empty() || !evaluation) return;
  if (spec.encoded_condition && (encoder == nullptr || !encoder->encoder().decodes())) {
    if (context.rank.is_main())
      TITAN_LOG(WARNING)
          << "[eval] eval.save_img_folder draws nothing: the latents have no decoder "
             "(encoder.autoencoder_path)";
    return;
  }
  after_evaluation_ = std::make_unique<SampleWriter>(
      context, spec, shape, SampleSource{std::move(evaluation), {}, config.eval.batch_size},
      encoder, seed);
}

bool RunPictures::due(int64_t step) const {
  const JobConfig& config = context_.config;
  return regular_ && (step % config.sampling.freq == 0 || step == config.training.steps);
}

Status RunPictures::draw(BlockRunner& runner, int64_t step,
                         const std::function<bool()>& stop) const {
  return regular_->write(runner, context_.run_folder.sample_path(step).string(), stop);
}

Status RunPictures::draw_after_evaluation(BlockRunner& runner, int64_t step,
                                          const std::function<bool()>& stop) const {
  const std::string& folder = context_.config.eval.save_img_folder;
  return after_evaluation_->write(runner, context_.run_folder.sample_path(step, folder).string(),
                                  stop);
}

}  // namespace titan
