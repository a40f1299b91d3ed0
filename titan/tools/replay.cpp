#include "titan/tools/replay.h"

#include <torch/version.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "titan/base/argument_vector.h"
#include "titan/base/log.h"
#include "titan/base/outcome.h"
#include "titan/metrics/step_statistics.h"
#include "titan/parallel/process_group.h"
#include "titan/tools/logged_records.h"
#include "titan/tools/replay_compare.h"
#include "titan/tools/replay_output.h"
#include "titan/tools/replay_request.h"
#include "titan/train/job_main.h"
#include "titan/train/run_folder.h"
#include "titan/train/run_info.h"
#include "titan/train/run_parts.h"
#include "titan/train/run_setup.h"
#include "titan/train/statistics_watch.h"
#include "titan/train/step_observer.h"
#include "titan/train/trainer.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHelp =
    "titan replay RUN --step N [options] [--section.key=value ...]\n"
    "Runs step N of the run folder RUN again, from the newest checkpoint before it (from the seed\n"
    "where there is none), and writes what every unit of the model computed: weights before and\n"
    "after, inputs, activations, gradients, each with a hash, mean, standard deviation, smallest\n"
    "and largest value. On the layout of the run (NGPU=8 titan replay ... for 8 ranks) the step "
    "is\n"
    "the same to the bit; the losses that the run logged are compared.\n"
    "  --sample ID       only the rows of this sample (its index in the data set)\n"
    "  --output DIR      where rank-00000.jsonl goes, in place of an earlier replay\n"
    "                    (RUN/replay/step-N, RUN/replay/step-N-sample-ID)\n"
    "  --against DIR     a replay of the same step by another build or of another run: names the\n"
    "                    first unit that differs; exit code 1 if one does\n"
    "titan replay DIR DIR\n"
    "Compares two replays that are there already.\n";

/// This rank's samples of a step that is still to come, in order.
StatusOr<std::vector<int64_t>> samples_of_step(const RunParts& run, int64_t step) {
  const int64_t cursor =
      run.samples_before + (step - 1 - run.steps_before) * run.batches.global_batch;
  DataLoaderOptions options = loader_options(run.context.config, *run.mesh, run.batches, cursor,
                                             run.resume->seed(), at::kCPU);
  options.prefetch_batches = 1;
  options.max_broken_share = 1;  // the run itself counts them
  TITAN_ASSIGN_OR_RETURN(const auto loader, DataLoader::create(run.dataset, options));
  std::vector<int64_t> samples;
  for (int64_t i = 0; i < run.batches.accumulation; ++i) {
    TITAN_ASSIGN_OR_RETURN(const Batch batch, loader->next());
    const int64_t* const first = batch.sample.const_data_ptr<int64_t>();
    samples.insert(samples.end(), first, first + batch.size());
  }
  return samples;
}

/// Runs to the step, looks at it, and stops.
class ReplayObserver : public StepObserver {
 public:
  ReplayObserver(const ReplayRequest& request, const JobContext& job)
      : request_(request), job_(job) {}

  /// Reads the step's batch ahead of the run: whether it has the sample is known before any step is
  /// made.
  Status before_training(const RunParts& run) override {
    if (!request_.sample) return ok_status();
    TITAN_ASSIGN_OR_RETURN(const std::vector<int64_t> samples, samples_of_step(run, request_.step));
    return check_sample(samples);
  }

  void before_step(int64_t step, TrainStep& training) override {
    if (step != request_.step) return;
    watch_ = std::make_unique<StatisticsWatch>(training.model());
    runner_ = &training.runner();
    if (!request_.sample) watch_->weights("weights", training.parameters().units());
  }

  void on_batch(const Batch& batch) override {
    if (!watch_) return;
    std::vector<int64_t> rows;
    const int64_t* samples = batch.sample.const_data_ptr<int64_t>();
    for (int64_t i = 0; i < batch.size(); ++i) {
      samples_.push_back(samples[i]);
      if (request_.sample == samples[i]) rows.push_back(i);
    }
    // A micro-batch without the sample is not looked at: no row of it is wanted.
    runner_->set_watch(request_.sample && rows.empty() ? nullptr : watch_.get());
    watch_->begin_micro_batch(micro_batch_++, std::move(rows));
  }

  bool after_step(int64_t step, const StepResult& result, TrainStep& training) override {
    if (step != request_.step) return true;
    runner_->set_watch(nullptr);
    if (!request_.sample) {
      watch_->number("gradient norm", result.grad_norm);
      watch_->weights("update", training.parameters().units());
    }
    written_ = write();
    return false;
  }

  /// What came of writing; before the step was reached, an error.
  const Status& written() const { return written_; }

 private:
  /// On every rank: an error where no rank has the sample.
  Status check_sample(const std::vector<int64_t>& samples) {
    std::string mine;
    for (const int64_t sample : samples) mine += " " + std::to_string(sample);
    if (std::find(samples.begin(), samples.end(), *request_.sample) != samples.end())
      mine = "found";
    std::string there;
    for (const std::string& text : job_.ranks.control().all_gather_text(mine)) {
      if (text == "found") return ok_status();
      there += text;
    }
    return not_found("[replay] sample ", *request_.sample, " is not in step ", request_.step,
                     ", whose samples are", there);
  }

  Status write() {
    const metrics::StepStatistics statistics{.step = request_.step,
                                             .from_step = request_.from_step,
                                             .rank = job_.rank.rank,
                                             .world_size = job_.rank.world_size,
                                             .sample = request_.sample,
                                             .revision = source_revision(),
                                             .libtorch = TORCH_VERSION,
                                             .device = job_.device.str(),
                                             .run = request_.run,
                                             .samples = samples_,
                                             .tensors = watch_->take()};
    const fs::path path = fs::path(request_.work) / metrics::statistics_file_name(job_.rank.rank);
    return metrics::write_statistics(path.string(), statistics);
  }

  const ReplayRequest& request_;
  const JobContext& job_;
  std::unique_ptr<StatisticsWatch> watch_;
  BlockRunner* runner_ = nullptr;
  int64_t micro_batch_ = 0;
  std::vector<int64_t> samples_;
  Status written_ = internal_error("[replay] the step was not reached");
};

StatusOr<JobOutcome> replay(const ReplayRequest& request, const JobContext& job, bool& differs) {
  const bool is_main = job.rank.is_main();
  std::optional<ReplayOutput> output;
  if (is_main) {
    TITAN_RETURN_IF_ERROR(check_comparable(request, job.rank.world_size));
    TITAN_ASSIGN_OR_RETURN(ReplayOutput opened, ReplayOutput::open(request.output, request.work));
    output.emplace(std::move(opened));
  }
  job.ranks.control().barrier();  // the folder is there, and empty
  const RunFolder run_folder = RunFolder::view(request.work);
  TITAN_LOG(INFO) << "[replay] step " << request.step << " of " << request.run << " from "
                  << (request.from_step > 0 ? str_cat("the checkpoint of step ", request.from_step)
                                            : std::string("the seed"))
                  << ", on " << job.device;
  if (job.rank.world_size != request.run_world_size) {
    TITAN_LOG(WARNING) << "[replay] the run had " << request.run_world_size
                       << " ranks, this replay has " << job.rank.world_size
                       << ": sums are made in another order, bits will differ (NGPU="
                       << request.run_world_size << ")";
  }
  ReplayObserver observer(request, job);
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<Trainer> trainer,
                         Trainer::create({job.config, job.rank, job.device, job.ranks, run_folder,
                                          job.arguments, &observer}));
  const StatusOr<JobOutcome> outcome = trainer->train();
  if (outcome.ok() && *outcome == JobOutcome::kStopped) return outcome;
  // A step whose loss is no number was looked at before it was refused.
  if (!outcome.ok() && !observer.written().ok()) return outcome;
  TITAN_RETURN_IF_ERROR(observer.written());
  job.ranks.control().barrier();  // every rank's file is there
  if (!is_main) return outcome;
  TITAN_RETURN_IF_ERROR(output->publish(job.rank.world_size));
  TITAN_LOG(INFO) << "[replay] "
                  << (fs::path(request.output) / metrics::statistics_file_name(0)).string();
  TITAN_RETURN_IF_ERROR(report_logged_records(
      RunFolder::view(request.run).metrics_path().string(),
      RunFolder::view(request.output).metrics_path().string(), request.from_step, request.step));
  if (request.against.empty()) return outcome;
  TITAN_ASSIGN_OR_RETURN(const bool equal, compare_replays(request.against, request.output));
  differs = !equal;
  return outcome;
}

int compare_main(const std::vector<std::string>& folders) {
  const StatusOr<bool> equal = compare_replays(folders[0], folders[1]);
  if (equal.ok()) return *equal ? 0 : 1;
  return exit_with(equal.status());
}

bool is_word(const std::string& arg) { return arg.rfind("--", 0) != 0; }

}  // namespace

int replay_main(const std::vector<std::string>& args) {
  if (args.empty() || std::find(args.begin(), args.end(), "--help") != args.end()) {
    std::fputs(kHelp, stdout);
    return args.empty() ? 2 : 0;
  }
  if (args.size() == 2 && is_word(args[0]) && is_word(args[1])) return compare_main(args);
  const StatusOr<ReplayRequest> request = read_replay_request(args);
  if (!request.ok()) return exit_with(request.status());
  ArgumentVector words("replay", args);
  bool differs = false;
  const int code =
      job_main(words.count(), words.data(),
               {.name = "titan replay",
                .default_config = "",
                .leading_words = 1,
                .settings = request->settings,
                .run = [&](const JobContext& job) { return replay(*request, job, differs); }});
  return code == 0 && differs ? 1 : code;
}

}  // namespace titan
