#include "titan/train/evaluation.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/remainder.h>
#include <ATen/ops/zeros.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <utility>

#include "titan/base/log.h"
#include "titan/base/trace.h"
#include "titan/data/one_pass_loader.h"
#include "titan/parallel/communicator.h"
#include "titan/plan/data_view.h"
#include "titan/train/graphed_losses.h"
#include "titan/train/model_setup.h"
#include "titan/train/run_encoder.h"

namespace titan {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// [B] int64 on the CPU, checked.
StatusOr<at::Tensor> timesteps_of(const Batch& batch, const Dataset& dataset) {
  const at::Tensor given = batch.fields.get("timestep");
  if (!given.defined()) return at::remainder(batch.sample, kEvalTimesteps);
  const at::Tensor timestep = given.to(at::kLong).view({-1}).contiguous();
  const at::Tensor sample = batch.sample.contiguous();
  for (int64_t i = 0; i < timestep.numel(); ++i) {
    const int64_t value = timestep.const_data_ptr<int64_t>()[i];
    if (value >= 0 && value < kEvalTimesteps) continue;
    return data_loss("[eval] a timestep lies outside 0 to ", kEvalTimesteps - 1,
                     " (timestep=", value, ", sample ",
                     dataset.describe(sample.const_data_ptr<int64_t>()[i]), ")");
  }
  return timestep;
}

/// What every rank has measured of its samples; the other ranks' are zero until gathered.
struct Measured {
  explicit Measured(int64_t samples)
      : loss(at::zeros({samples}, at::kDouble)), timestep(at::zeros({samples}, at::kDouble)) {}
  at::Tensor loss, timestep;
};

StatusOr<PassBatch> next_batch(OnePassLoader& loader) {
  const TraceSpan span("data");
  return loader.next();
}

Status measure(const Dataset& dataset, OnePassLoader& loader, const EvaluatorOptions& options,
               BlockRunner& runner, const Objective& objective, parallel::Communicator& ranks,
               const std::function<void(int64_t, int64_t)>& progress,
               const std::function<bool()>& stop, Measured& measured) {
  GraphedLosses losses_of(
      [&](const Batch& batch, const at::Tensor& timestep) {
        const TrainingExample example = objective.prepare_evaluation(batch, timestep, options.seed);
        return objective.loss(runner.forward(example.x_t, example.t, example.condition), example);
      },
      options.make_graph ? options.make_graph() : nullptr, &ranks);
  for (int64_t round = 0; round < loader.rounds(); ++round) {
    if (stop && stop()) return {absl::StatusCode::kCancelled, "[eval] stopped"};
    TITAN_ASSIGN_OR_RETURN(PassBatch pass, next_batch(loader));
    TITAN_ASSIGN_OR_RETURN(const at::Tensor timestep, timesteps_of(pass.batch, dataset));
    const int64_t count = pass.batch.size();
    bring(pass.batch, options.device, options.encoder);
    const at::Tensor losses = losses_of.run(pass.batch, timestep.to(options.device));
    if (pass.repeated) continue;
    measured.loss.narrow(0, pass.first, count).copy_(losses);
    measured.timestep.narrow(0, pass.first, count).copy_(timestep);
    if (progress) {
      progress(std::min((round + 1) * ranks.size() * options.batch_size, loader.num_samples()),
               loader.num_samples());
    }
  }
  return ok_status();
}

template <class T>
std::vector<T> to_vector(const at::Tensor& tensor, at::ScalarType dtype) {
  const at::Tensor values = tensor.to(dtype).contiguous();
  const T* first = values.const_data_ptr<T>();
  return {first, first + values.numel()};
}

void warn_of_nonfinite(const Dataset& dataset, const std::vector<double>& loss) {
  int64_t count = 0;
  std::string names;
  for (std::size_t i = 0; i < loss.size(); ++i) {
    if (std::isfinite(loss[i]) || ++count > 8) continue;
    names += (names.empty() ? "" : ", ") + dataset.describe(static_cast<int64_t>(i));
  }
  if (count == 0) return;
  TITAN_LOG(WARNING) << "[eval] the loss is not a finite number for " << count << " of "
                     << loss.size() << " samples: " << names << (count > 8 ? ", ..." : "");
}

}  // namespace

EvaluationResult summarize_losses(const std::vector<double>& loss,
                                  const std::vector<int64_t>& timestep) {
  EvaluationResult result;
  result.timestep_loss.assign(kEvalTimesteps, 0);
  result.timestep_count.assign(kEvalTimesteps, 0);
  result.samples = static_cast<int64_t>(loss.size());
  for (std::size_t i = 0; i < loss.size(); ++i) {
    const auto k = static_cast<std::size_t>(timestep[i]);
    result.timestep_loss[k] += loss[i];
    ++result.timestep_count[k];
  }
  int64_t present = 0;
  for (std::size_t k = 0; k < result.timestep_loss.size(); ++k) {
    const int64_t count = result.timestep_count[k];
    result.timestep_loss[k] =
        count > 0 ? result.timestep_loss[k] / static_cast<double>(count) : kNan;
    if (count == 0) continue;
    result.loss += result.timestep_loss[k];
    ++present;
  }
  result.loss = present > 0 ? result.loss / static_cast<double>(present) : kNan;
  return result;
}

Evaluator::Evaluator(std::shared_ptr<const Dataset> dataset, EvaluatorOptions options)
    : dataset_(std::move(dataset)), options_(options) {}

int64_t Evaluator::num_samples() const { return samples_to_read(*dataset_, options_.num_samples); }

StatusOr<EvaluationResult> Evaluator::run(
    BlockRunner& runner, const Objective& objective, parallel::Communicator& ranks,
    const std::function<void(int64_t done, int64_t all)>& progress,
    const std::function<bool()>& stop) const {
  const auto start = std::chrono::steady_clock::now();
  OnePassLoader loader(dataset_, {.batch_size = options_.batch_size,
                                  .num_samples = options_.num_samples,
                                  .rank = ranks.rank(),
                                  .num_ranks = ranks.size(),
                                  .seed = options_.seed,
                                  .num_workers = options_.num_workers,
                                  .pinned = options_.device.is_cuda()});
  Measured measured(loader.num_samples());
  // A rank that fails here leaves at once: the failure watch then ends the others, which would wait
  // for its losses.
  TITAN_RETURN_IF_ERROR(
      measure(*dataset_, loader, options_, runner, objective, ranks, progress, stop, measured));
  // Every sample was measured by one rank and is zero on the others, so the sums are exact.
  ranks.all_reduce_(measured.loss);
  ranks.all_reduce_(measured.timestep);
  const std::vector<double> loss = to_vector<double>(measured.loss, at::kDouble);
  EvaluationResult result =
      summarize_losses(loss, to_vector<int64_t>(measured.timestep, at::kLong));
  if (!std::isfinite(result.loss)) warn_of_nonfinite(*dataset_, loss);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

StatusOr<std::shared_ptr<const Dataset>> open_evaluation_data(const JobConfig& config,
                                                              const ModelSpec& spec,
                                                              const DataShape& train_shape) {
  if (config.eval.dataset.value_or("").empty()) return std::shared_ptr<const Dataset>();
  JobConfig job = config;
  job.training.dataset = *config.eval.dataset;
  job.training.dataset_path = config.eval.dataset_path;
  job.dataset.crop = "center";
  job.dataset.flip = false;
  StatusOr<std::unique_ptr<Dataset>> opened = spec.dataset(job);
  if (!opened.ok()) {
    return annotate(opened.status(), str_cat("[eval] eval.dataset=", *config.eval.dataset,
                                             ", opened as training.dataset would be"));
  }
  const std::shared_ptr<const Dataset> dataset = *std::move(opened);
  TITAN_ASSIGN_OR_RETURN(const DataView view, view_of(*dataset, config, spec));
  const DataShape& shape = view.shape;
  if (shape.image != train_shape.image) {
    return invalid_argument("[eval] samples of eval.dataset=", *config.eval.dataset,
                            " differ in size from those of training.dataset (", to_string(shape),
                            " and ", to_string(train_shape), ")");
  }
  for (const auto& [name, sizes] : train_shape.fields) {
    const auto found = shape.fields.find(name);
    if (name == "timestep" || (found != shape.fields.end() && found->second == sizes)) continue;
    return invalid_argument(
        "[eval] the field \"", name, "\" of eval.dataset=", *config.eval.dataset,
        found == shape.fields.end() ? " is missing" : " has another size than in training");
  }
  return dataset;
}

int64_t steps_between_evaluations(int64_t eval_freq, int64_t global_batch) {
  return (eval_freq + global_batch - 1) / global_batch;
}

}  // namespace titan
