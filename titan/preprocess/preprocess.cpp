#include "titan/preprocess/preprocess.h"

#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include <nlohmann/json.hpp>

#include "titan/base/ceil_div.h"
#include "titan/base/log.h"
#include "titan/data/one_pass_loader.h"
#include "titan/data/webdataset_fields.h"
#include "titan/preprocess/stage_times.h"
#include "titan/preprocess/unit_loader.h"
#include "titan/preprocess/unit_writer.h"

namespace titan::preprocess {
namespace {

constexpr int64_t kSmallestUnit = 8;
constexpr int64_t kUnitsOfSmallSet = 32;

/// The data set's own name of a sample, else its index. Arrow's text columns hold UTF-8 only.
std::string key_of(const Batch& batch, std::size_t row, int64_t index) {
  if (row < batch.keys.size() && !batch.keys[row].empty() && is_utf8(batch.keys[row]))
    return batch.keys[row];
  return std::to_string(index);
}

/// Everything of an encoded batch, moved to the CPU.
EncodedStep collect(const LoadedStep& loaded, Batch& batch) {
  EncodedStep out{.step = loaded.step,
                  .fields = {},
                  .keys = {},
                  .timesteps = {},
                  .indices = {},
                  .skipped = loaded.skipped};
  at::Tensor timestep = loaded.batch.fields.get("timestep");
  if (timestep.defined()) timestep = timestep.to(at::kLong).contiguous();
  const int64_t* index = loaded.batch.sample.const_data_ptr<int64_t>();
  for (int64_t row = 0; row < loaded.batch.size(); ++row) {
    const auto at = static_cast<std::size_t>(row);
    out.indices.push_back(index[row]);
    out.keys.push_back(key_of(loaded.batch, at, index[row]));
    out.timesteps.push_back(
        timestep.defined() ? std::optional(timestep.const_data_ptr<int64_t>()[row]) : std::nullopt);
  }
  for (std::size_t field = 0; field < kNumEncodedFields; ++field) {
    const at::Tensor values = batch.fields.get(kEncodedFields[field]);
    TITAN_CHECK(values.defined(), "[preprocess] the encoder gives no '", kEncodedFields[field],
                "'");
    out.fields[field] = values.to(at::kCPU, at::kBFloat16).contiguous();  // host sync
  }
  return out;
}

}  // namespace

int64_t samples_per_unit(const EncodedFormat& format, const EncodedShapes& shapes,
                         int64_t file_bytes, int64_t num_samples) {
  const int64_t bytes = file_bytes > 0 ? file_bytes : format.default_file_bytes();
  const int64_t fitting = std::max<int64_t>(1, bytes / format.row_bytes(shapes));
  if (file_bytes > 0) return fitting;
  return std::min(fitting, std::max(kSmallestUnit, ceil_div(num_samples, kUnitsOfSmallSet)));
}

PreprocessJob::PreprocessJob(const PreprocessOptions& options,
                             std::shared_ptr<const Dataset> dataset, const EncodedShapes& shapes,
                             parallel::Communicator& ranks)
    : options_(options), dataset_(std::move(dataset)), shapes_(shapes), ranks_(ranks) {}

StatusOr<std::unique_ptr<PreprocessJob>> PreprocessJob::open(const PreprocessOptions& options,
                                                             std::shared_ptr<const Dataset> dataset,
                                                             const EncodedShapes& shapes,
                                                             const JobDescription& description,
                                                             parallel::Communicator& ranks) {
  std::unique_ptr<PreprocessJob> job(new PreprocessJob(options, std::move(dataset), shapes, ranks));
  TITAN_ASSIGN_OR_RETURN(job->format_, find_encoded_format(options.format));
  TITAN_RETURN_IF_ERROR(check_encoded_shapes(shapes));
  job->num_samples_ = samples_to_read(*job->dataset_, options.num_samples);
  std::string plan;
  if (ranks.rank() == 0) {
    const int64_t unit =
        samples_per_unit(*job->format_, shapes, options.file_bytes, job->num_samples_);
    TITAN_ASSIGN_OR_RETURN(JobFolder::Opened opened,
                           JobFolder::open(options.output, description, job->num_samples_, unit));
    job->folder_ = std::move(opened.folder);
    std::map<int64_t, UnitRecord> done;
    if (job->folder_) {
      TITAN_ASSIGN_OR_RETURN(done, job->folder_->done_units());
    }
    plan = job->describe_plan(done);
  }
  TITAN_RETURN_IF_ERROR(job->take_plan(ranks.broadcast_text(plan)));
  return job;
}

std::string PreprocessJob::describe_plan(const std::map<int64_t, UnitRecord>& done) const {
  std::vector<int64_t> units;
  int64_t samples_done = 0;
  if (folder_) {
    const int64_t size = folder_->samples_per_unit();
    for (int64_t unit = 0; unit < folder_->num_units(); ++unit) {
      if (done.count(unit) == 0 && !folder_->only_the_rename_is_missing())
        units.push_back(unit);
      else
        samples_done += std::min(num_samples_, (unit + 1) * size) - unit * size;
    }
  }
  return nlohmann::json({{"finished", folder_ == nullptr},
                         {"samples_per_unit", folder_ ? folder_->samples_per_unit() : 1},
                         {"samples_done", samples_done},
                         {"units", units}})
      .dump();
}

Status PreprocessJob::take_plan(const std::string& text) {
  const nlohmann::json plan = nlohmann::json::parse(text);
  finished_ = plan.at("finished");
  samples_per_unit_ = plan.at("samples_per_unit");
  samples_done_ = plan.at("samples_done");
  units_ = plan.at("units").get<std::vector<int64_t>>();
  if (finished_) return ok_status();
  TITAN_LOG(INFO) << "[preprocess] " << num_samples_ << " samples in files of " << samples_per_unit_
                  << (samples_done_ > 0 ? str_cat("; going on: ", samples_done_, " are done") : "");
  return ok_status();
}

/// One call of run(): the stages and what they have done.
class PreprocessJob::Run {
 public:
  Run(PreprocessJob& job, const EncodeBatch& encode)
      : job_(job),
        encode_(encode),
        steps_(steps_of_rank(job.units_, job.num_samples_, job.samples_per_unit_,
                             job.options_.batch_size, job.ranks_.rank(), job.ranks_.size())),
        steps_per_unit_(ceil_div(job.samples_per_unit_, job.options_.batch_size)),
        progress_(job.num_samples_, job.samples_done_, job.options_.progress_s),
        loader_(job.dataset_, steps_,
                {.seed = job.options_.seed,
                 .num_workers = job.options_.num_workers,
                 .prefetch_batches = job.options_.prefetch_batches},
                times_),
        writer_(JobPaths(job.options_.output), *job.format_, job.shapes_, times_) {}

  StatusOr<JobOutcome> all(const std::function<int()>& requested_signal) {
    JobOutcome outcome = JobOutcome::kDone;
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      TITAN_RETURN_IF_ERROR(one_step());
      const bool stop = exchange(requested_signal() != 0);
      const bool between_units = (i + 1) % static_cast<std::size_t>(steps_per_unit_) == 0;
      if (stop && between_units && i + 1 < steps_.size()) {
        outcome = JobOutcome::kStopped;
        break;
      }
    }
    TITAN_RETURN_IF_ERROR(writer_.finish());
    exchange(/*stop=*/false);  // every rank's files are there
    return outcome;
  }

  std::string summary() const {
    return str_cat(progress_.line(done_, bytes_), "; ", skipped_, " left out; rank 0 ",
                   times_.shares(progress_.elapsed_s(), job_.options_.num_workers));
  }

 private:
  Status one_step() {
    StatusOr<std::optional<LoadedStep>> next = [&] {
      const StageTimes::Span wait(times_, StageTimes::kWaitForDecode);
      return loader_.next();
    }();
    TITAN_RETURN_IF_ERROR(next.status());
    LoadedStep& loaded = **next;
    own_done_ += loaded.step.end - loaded.step.begin;
    if (loaded.batch.size() == 0) {
      if (job_.options_.encode_together) encode_filler();
      if (loaded.step.unit < 0) return ok_status();
      EncodedStep empty;
      empty.step = loaded.step;
      empty.skipped = std::move(loaded.skipped);
      return push(std::move(empty));
    }
    EncodedStep encoded;
    {
      const StageTimes::Span busy(times_, StageTimes::kEncode);
      Batch batch = loaded.batch;  // shares tensors; names and timesteps stay with `loaded`
      batch.fields.erase("timestep");
      encode_(batch);
      encoded = collect(loaded, batch);
    }
    return push(std::move(encoded));
  }

  Status push(EncodedStep step) {
    for (const SkippedSample& sample : step.skipped)
      TITAN_LOG(WARNING) << "[preprocess] left out " << sample.why;
    return writer_.push(std::move(step));
  }

  /// Keeps step with the ranks that have something to encode.
  void encode_filler() {
    const StageTimes::Span busy(times_, StageTimes::kEncode);
    Batch batch;
    batch.sample = at::zeros({1}, at::kLong);
    batch.epoch = at::zeros({1}, at::kLong);
    batch.captions = {""};
    std::vector<int64_t> shape = {1};
    shape.insert(shape.end(), job_.options_.image_shape.begin(), job_.options_.image_shape.end());
    batch.fields.set("image", at::zeros(shape, at::kFloat));
    encode_(batch);
  }

  /// Adds up what the ranks have done, once a step, and says so now and then; true where one of
  /// them wants to stop. Ranks without work take part: nobody waits longer than a step.
  bool exchange(bool stop) {
    const WrittenCounts own = writer_.counts();
    const std::vector<double> sums = job_.ranks_.all_reduce_values(
        {static_cast<double>(own_done_), static_cast<double>(own.bytes),
         static_cast<double>(own.skipped), stop ? 1.0 : 0.0},
        parallel::Reduction::kSum);
    done_ = static_cast<int64_t>(sums[0]);
    bytes_ = sums[1];
    skipped_ = static_cast<int64_t>(sums[2]);
    if (job_.ranks_.rank() == 0 && progress_.due()) TITAN_LOG(INFO) << "[preprocess] " << summary();
    return sums[3] > 0;
  }

  PreprocessJob& job_;
  const EncodeBatch& encode_;
  std::vector<Step> steps_;
  int64_t steps_per_unit_;
  StageTimes times_;
  Progress progress_;
  UnitLoader loader_;
  UnitWriter writer_;
  int64_t own_done_ = 0;
  int64_t done_ = 0;
  double bytes_ = 0;
  int64_t skipped_ = 0;
};

StatusOr<JobOutcome> PreprocessJob::run(const EncodeBatch& encode,
                                        const std::function<int()>& requested_signal) {
  c10::AutoGradMode no_grad(false);
  {
    Run work(*this, encode);
    TITAN_ASSIGN_OR_RETURN(const JobOutcome outcome, work.all(requested_signal));
    if (ranks_.rank() == 0) TITAN_LOG(INFO) << "[preprocess] " << work.summary();
    if (outcome == JobOutcome::kStopped) {
      TITAN_LOG(INFO) << "[preprocess] stopped by a signal; the same command goes on";
      return outcome;
    }
  }
  if (ranks_.rank() == 0) {
    TITAN_RETURN_IF_ERROR(folder_->finish(*format_, shapes_));
    TITAN_LOG(INFO) << "[preprocess] done: " << folder_->paths().output().string();
  }
  ranks_.barrier();
  return JobOutcome::kDone;
}

}  // namespace titan::preprocess
