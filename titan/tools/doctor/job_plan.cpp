#include "titan/tools/doctor/job_plan.h"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <map>

#include "titan/base/human.h"
#include "titan/checkpoint/checkpoint_folder.h"
#include "titan/checkpoint/checkpoint_reader.h"
#include "titan/parallel/device_services.h"
#include "titan/plan/fit.h"
#include "titan/plan/report.h"
#include "titan/train/resume_state.h"
#include "titan/train/run_weights.h"

namespace titan::doctor {
namespace {

std::string gib(int64_t bytes) { return human_bytes(static_cast<double>(bytes)); }

/// The planner's table entry for this device, with the links as they were measured.
plan::Hardware hardware_of(const JobPlace& place) {
  const parallel::DeviceServices* services = parallel::device_services();
  const bool cuda = place.device.is_cuda() && services != nullptr;
  const std::string known =
      cuda ? plan::hardware_of_device(services->name(place.device.index())) : "cpu";
  plan::Hardware hardware = known.empty() ? plan::Hardware{} : *plan::find_hardware(known);
  if (!cuda) hardware.bf16_flops *= place.threads;  // the table has one thread
  if (place.links == nullptr) return hardware;
  // The table has data sheets, of which the model takes a share; these are what was reached.
  const double share = plan::Assumptions{}.transfer;
  const double inside = place.links->median_bytes_per_s(/*same_host=*/true);
  const double between = place.links->median_bytes_per_s(/*same_host=*/false);
  if (inside > 0) hardware.link_bandwidth = inside / share;
  if (between > 0) hardware.network_bandwidth = between / share;
  hardware.domain = place.rank.local_world_size;
  return hardware;
}

Status predict(const PlannedJob& job, int64_t limit, Section& section) {
  const int64_t world = job.place.rank.world_size;
  if (world == 1 || !job.spec.flops) return ok_status();
  const plan::Hardware hardware = hardware_of(job.place);
  if (hardware.bf16_flops <= 0) return ok_status();  // a device that the planner does not know
  TITAN_ASSIGN_OR_RETURN(const ModelFlops flops, job.spec.flops(job.config, job.shape));
  TITAN_ASSIGN_OR_RETURN(const plan::PlanRow row,
                         plan::plan_row(job.model, job.layout, flops, hardware,
                                        job.place.rank.local_world_size, limit));
  const double busy = row.time.compute + row.time.optimizer;
  char text[160];
  std::snprintf(text, sizeof text,
                "a step takes about %.0f ms by the plan, %.0f %% of it at work, the rest waiting "
                "for other ranks (links as measured)",
                1e3 * row.time.total(), 100 * busy / row.time.total());
  constexpr double kLittle = 0.5;
  if (busy < kLittle * row.time.total())
    section.warn("scaling", text,
                 "a larger micro-batch, accumulation (training.global_batch_size), or fewer ranks");
  else
    section.ok("scaling", text);
  return ok_status();
}

std::vector<TensorSpec> tensors_of(const plan::ShapeModel& model) {
  std::vector<TensorSpec> tensors;
  for (const auto& unit : model.units())
    for (const parallel::ParameterShape& parameter : unit)
      tensors.push_back({parameter.name, TensorType::kF32, parameter.shape});
  return tensors;
}

Status check_same_job(const ResumedJob& job, const checkpoint::CheckpointReader& reader) {
  auto all = run_fingerprints(job.config, job.dataset, job.global_batch);
  const std::optional<int64_t>& chosen = job.config.training.seed;
  all["seed"] = std::to_string(chosen ? static_cast<std::uint64_t>(*chosen) : reader.meta().seed);
  all["model"] = model_fingerprint(job.config, tensors_of(job.model));
  return check_goes_on(reader, all, job.config);
}

/// The newest step, or checkpoint.load_step, which must be there.
StatusOr<std::optional<int64_t>> step_to_load(const checkpoint::CheckpointFolder& folder,
                                              const CheckpointSection& settings) {
  TITAN_ASSIGN_OR_RETURN(const std::vector<int64_t> steps, folder.steps());
  if (settings.load_step < 0) return steps.empty() ? std::nullopt : std::optional(steps.back());
  if (std::find(steps.begin(), steps.end(), settings.load_step) == steps.end())
    return not_found("[checkpoint] no step ", settings.load_step, " in ", folder.path());
  return std::optional(settings.load_step);
}

Status judge_ended(const ResumedJob& job, const std::string& folder, int64_t step,
                   Section& section) {
  if (step < job.config.training.steps) return run_has_ended(folder, step);
  section.warn("checkpoint",
               str_cat("this run is finished: it ended at step ", step, " with its weights alone"),
               "another --job.dump_folder starts anew");
  return ok_status();
}

Status judge_checkpoint(const ResumedJob& job, const checkpoint::CheckpointReader& reader,
                        Section& section) {
  TITAN_RETURN_IF_ERROR(check_same_job(job, reader));
  const checkpoint::CheckpointMeta& meta = reader.meta();
  const std::string text =
      str_cat("step ", meta.step, " of ", job.config.training.steps, " (written by ",
              meta.world_size, meta.world_size == 1 ? " rank)" : " ranks)");
  if (meta.step >= job.config.training.steps)
    section.warn("checkpoint", text + ": this run is finished",
                 "--training.steps=N goes on, another --job.dump_folder starts anew");
  else
    section.ok("checkpoint", text + ": the run goes on from it");
  return ok_status();
}

/// Headers are read, no values.
Status check_initial_load(const ResumedJob& job, Section& section) {
  const CheckpointSection& settings = job.config.checkpoint;
  const std::string& path = settings.initial_load_path;
  if (!settings.initial_load_model_weights_only) {
    TITAN_ASSIGN_OR_RETURN(const checkpoint::CheckpointReader reader,
                           open_initial_checkpoint(job.config));
    TITAN_RETURN_IF_ERROR(check_same_job(job, reader));
    section.ok("initial load", str_cat("the whole state of step ", reader.meta().step, ": ", path));
  } else if (!excluded_from_loading(job.config, "model")) {
    TITAN_RETURN_IF_ERROR(load_published_weights(path, *job.spec.weight_formats, /*items=*/{},
                                                 tensors_of(job.model), /*verify=*/false));
    section.ok("initial load", "weights that fit: " + path);
  }
  return ok_status();
}

}  // namespace

Status check_plan(const PlannedJob& job, Section& section) {
  const parallel::DeviceServices* services = parallel::device_services();
  const bool cuda = job.place.device.is_cuda() && services != nullptr;
  const int64_t capacity = cuda ? services->memory_stats(job.place.device.index()).capacity : 0;
  const plan::MemoryLimit limit = plan::memory_limit(job.config, job.place.device.type(), capacity,
                                                     job.place.rank.local_world_size);
  StatusOr<plan::MemoryPlan> planned = plan::MemoryPlan();
  try {
    planned = plan::plan_memory(job.model, job.layout);
  } catch (const std::exception& error) {
    const std::string why = error.what();
    section.warn("memory plan",
                 "not planned: this model does not run on shapes alone (" +
                     why.substr(0, why.find('\n')) + ")",
                 "watch memory_gib in the first steps");
    return ok_status();
  }
  TITAN_RETURN_IF_ERROR(planned.status());
  const plan::MemoryPlan& plan = *planned;
  section.ok("model",
             str_cat(job.config.model.name, " ", job.config.model.flavor, ", ",
                     human_number(static_cast<double>(job.model.num_parameters())), " parameters"));
  const int64_t needed = plan.device_bytes();
  const std::string text = str_cat(gib(needed), " a rank of ", gib(limit.bytes), " (", limit.source,
                                   "): ", plan::describe(plan));
  if (limit.bytes > 0 && needed > limit.bytes) {
    std::string ways;
    for (const std::string& way : plan::what_would_fit(job.model, job.layout, limit.bytes))
      ways += (ways.empty() ? "" : "\n") + way;
    section.fail("memory plan", text,
                 ways.empty() ? "use more ranks or a smaller model" : "what would fit:\n" + ways);
  } else if (job.place.memory_available > 0 && needed > job.place.memory_available) {
    section.fail("memory plan",
                 str_cat(text, "; but only ", gib(job.place.memory_available), " are free now"),
                 "end what else uses it");
  } else {
    section.ok("memory plan", text);
  }
  return predict(job, limit.bytes, section);
}

Status check_resume(const ResumedJob& job, Section& section) {
  const CheckpointSection& settings = job.config.checkpoint;
  std::string none = "off (checkpoint.enable_checkpoint): a stopped run starts anew";
  if (settings.enable_checkpoint) {
    const checkpoint::CheckpointFolder folder(
        (std::filesystem::path(job.config.job.dump_folder) / settings.folder).string());
    TITAN_ASSIGN_OR_RETURN(const std::optional<int64_t> step, step_to_load(folder, settings));
    TITAN_ASSIGN_OR_RETURN(const std::optional<int64_t> ended,
                           find_run_end(job.config, folder.path(), step));
    if (ended) return judge_ended(job, folder.path(), *ended, section);
    if (step) {
      TITAN_ASSIGN_OR_RETURN(const checkpoint::CheckpointReader reader,
                             checkpoint::CheckpointReader::open(folder.step_path(*step)));
      return judge_checkpoint(job, reader, section);
    }
    none = str_cat("none in ", folder.path(), ": the run starts anew");
  }
  section.ok("checkpoint", none);
  if (settings.initial_load_path.empty()) return ok_status();
  const Status initial = check_initial_load(job, section);
  if (!initial.ok())
    section.fail("initial load", message_of(initial),
                 "checkpoint.initial_load_path names weights of this model, or a checkpoint");
  return ok_status();
}

}  // namespace titan::doctor
