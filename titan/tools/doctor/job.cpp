#include "titan/tools/doctor/job.h"

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "titan/models/builtin.h"
#include "titan/plan/data_view.h"
#include "titan/plan/memory_plan.h"
#include "titan/tools/doctor/job_plan.h"
#include "titan/train/batch_plan.h"
#include "titan/train/evaluation.h"
#include "titan/train/kernel_settings.h"
#include "titan/train/model_setup.h"
#include "titan/train/run_encoder.h"

namespace titan::doctor {
namespace {

/// What the checks find out for each other; an empty part makes later ones stay away.
struct Job {
  const JobConfig& config;
  const JobPlace& place;
  Section& section;
  std::optional<ModelSpec> spec = {};
  std::shared_ptr<const Dataset> dataset = {};
  std::optional<DataView> view = {};
  plan::Layout layout = {};
  BatchPlan batches = {};
};

/// An exception is a failure of this check, not of the doctor.
void guarded(Section& section, const std::string& topic, const std::string& advice,
             const std::function<Status()>& check) {
  Status status = ok_status();
  try {
    status = check();
  } catch (const std::exception& error) {
    const std::string what = error.what();
    status = internal_error(what.substr(0, what.find('\n')));
  }
  if (!status.ok()) section.fail(topic, message_of(status), advice);
}

Status check_layout(Job& job) {
  const JobConfig& config = job.config;
  TITAN_ASSIGN_OR_RETURN(job.layout.dims, parallel::resolve_parallel_dims(
                                              config.parallelism, job.place.rank.world_size));
  TITAN_ASSIGN_OR_RETURN(job.batches,
                         plan_batches(config.training.batch_size, config.training.global_batch_size,
                                      job.layout.dims.dp_size()));
  job.layout.config = config;
  job.layout.name = plan::strategy_name(config, job.layout.dims);
  job.layout.micro_batch = job.batches.micro_batch;
  job.layout.accumulation = job.batches.accumulation;
  job.layout.device = job.place.device.type();
  job.section.ok("layout",
                 str_cat(job.layout.name, " (", job.layout.dims.dp_replicate, " x ",
                         job.layout.dims.dp_shard, "); global batch ", job.batches.global_batch,
                         " = ", job.layout.dims.dp_size(), " ranks x ", job.batches.micro_batch,
                         " samples x ", job.batches.accumulation, " micro-batches"));
  return ok_status();
}

Status check_settings(Job& job) {
  TITAN_ASSIGN_OR_RETURN(job.spec, complete_spec(job.config));
  TITAN_RETURN_IF_ERROR(check_converters(job.config, job.place.device));
  return choose_kernels(job.config, job.place.device.type());
}

Status check_data(Job& job) {
  TITAN_ASSIGN_OR_RETURN(std::unique_ptr<Dataset> opened, job.spec->dataset(job.config));
  job.dataset = std::move(opened);
  TITAN_ASSIGN_OR_RETURN(job.view, view_of(*job.dataset, job.config, *job.spec));
  const std::string text =
      str_cat(job.config.training.dataset, ": ", job.dataset->size(), " samples of ",
              to_string(job.view->shape), job.view->encoded ? ", encoded while training" : "");
  TITAN_RETURN_IF_ERROR(check_enough_samples(
      job.dataset->size(), job.config.training.subset_size.value_or(0), job.batches));
  job.section.ok("data set", text);
  return ok_status();
}

Status check_evaluation(Job& job) {
  TITAN_ASSIGN_OR_RETURN(const std::shared_ptr<const Dataset> data,
                         open_evaluation_data(job.config, *job.spec, job.view->shape));
  if (data)
    job.section.ok("evaluation set",
                   str_cat(*job.config.eval.dataset, ": ", data->size(), " samples"));
  return ok_status();
}

/// The networks are built on shapes alone; what would fill them must be there and fit.
Status check_encoders(Job& job) {
  std::shared_ptr<const BatchEncoder> encoder = job.view ? job.view->encoder : nullptr;
  if (!job.view) {  // no data to encode: the paths can be looked at all the same
    TITAN_ASSIGN_OR_RETURN(encoder, job.spec->encoder(job.config, {.device = at::kMeta}));
  }
  if (!encoder) return ok_status();
  for (const EncoderPart& part : encoder->parts()) {
    const std::string topic = "encoder " + part.name;
    guarded(job.section, topic, "docs/downloads.md says where weights come from", [&] {
      TITAN_RETURN_IF_ERROR(RunEncoder::check(part));
      job.section.ok(topic, part.weights);
      return ok_status();
    });
  }
  return ok_status();
}

}  // namespace

void check_job(const JobConfig& config, const JobPlace& place, Section& section,
               CheckpointNeeds& needs) {
  Job job{config, place, section};
  needs.enabled = config.checkpoint.enable_checkpoint;
  needs.kept = config.checkpoint.keep_latest_k;
  needs.saved =
      (config.training.steps + config.checkpoint.interval - 1) / config.checkpoint.interval;
  bool laid_out = false;
  guarded(section, "layout", "degrees and batch sizes must fit the number of ranks", [&] {
    const Status status = check_layout(job);
    laid_out = status.ok();
    return status;
  });
  guarded(section, "model", "titan plan --config NAME, docs/config.md", [&] {
    TITAN_RETURN_IF_ERROR(models::register_builtin_models());
    return check_settings(job);
  });
  if (job.spec)
    guarded(section, "data set", "training.dataset and training.dataset_path say what is read",
            [&] { return check_data(job); });
  if (job.spec)
    guarded(section, "encoder", "docs/downloads.md says where encoders come from",
            [&] { return check_encoders(job); });
  if (!job.view || !job.spec) return;
  guarded(section, "evaluation set", "eval.dataset and eval.dataset_path; empty = no evaluation",
          [&] { return check_evaluation(job); });
  if (!laid_out) return;
  std::optional<plan::ShapeModel> model;
  guarded(section, "model", "[model] and [model.args] must fit each other and the data",
          [&]() -> Status {
            TITAN_ASSIGN_OR_RETURN(model, plan::ShapeModel::build(config, *job.spec, *job.view));
            return ok_status();
          });
  if (!model) return;
  needs.bytes =
      checkpoint_bytes({.parameters = model->num_parameters(),
                        .averages = config.ema.enable,
                        .moment_bytes = config.optimizer.state_dtype == "bfloat16" ? 2 : 4});
  needs.writers = static_cast<int>(job.layout.dims.dp_shard);
  guarded(section, "checkpoint", "--checkpoint.load_step, or another --job.dump_folder", [&] {
    return check_resume({config, *job.spec, *job.dataset, *model, job.batches.global_batch},
                        section);
  });
  guarded(section, "memory plan", "titan plan --config NAME", [&] {
    return check_plan({config, *job.spec, job.view->shape, *model, job.layout, place}, section);
  });
}

std::int64_t checkpoint_bytes(const StateSize& state) {
  // Weights and averages in float32, two moments.
  return state.parameters * (4 + 2 * state.moment_bytes + (state.averages ? 4 : 0));
}

}  // namespace titan::doctor
