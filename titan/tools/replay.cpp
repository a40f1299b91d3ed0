#include "titan/tools/replay.h"

#include <torch/version.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "titan/base/argument_vector.h"
#include "titan/base/log.h"
#include "titan/base/outcome.h"
#include "titan/metrics/step_statistics.h"
#include "titan/parallel/process_group.h"
#include "titan/tools/logged_records.h"
#include "titan/tools/replay_request.h"
#include "titan/train/job_main.h"
#include "titan/train/run_folder.h"
#include "titan/train/run_info.h"
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
    "  --output DIR      where rank-00000.jsonl goes (RUN/replay/step-N)\n"
    "  --against DIR     a replay of the same step by another build or of another run: names the\n"
    "                    first unit that differs; exit code 1 if one does\n"
    "titan replay DIR DIR\n"
    "Compares two replays that are there already.\n";

/// Runs to the step, looks at it, and stops.
class ReplayObserver : public StepObserver {
 public:
  ReplayObserver(const ReplayRequest& request, const JobContext& job)
      : request_(request), job_(job) {}

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
    found_sample_ = found_sample_ || !rows.empty();
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
  bool found_sample() const { return found_sample_; }
  const std::vector<int64_t>& samples() const { return samples_; }

 private:
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
    const fs::path path =
        fs::path(job_.config.job.dump_folder) / metrics::statistics_file_name(job_.rank.rank);
    return metrics::write_statistics(path.string(), statistics);
  }

  const ReplayRequest& request_;
  const JobContext& job_;
  std::unique_ptr<StatisticsWatch> watch_;
  BlockRunner* runner_ = nullptr;
  int64_t micro_batch_ = 0;
  bool found_sample_ = false;
  std::vector<int64_t> samples_;
  Status written_ = internal_error("[replay] the step was not reached");
};

/// On every rank: an error where no rank had the sample.
Status check_sample(const ReplayRequest& request, const ReplayObserver& observer,
                    parallel::Communicator& ranks) {
  if (!request.sample) return ok_status();
  std::string mine = observer.found_sample() ? "found" : "";
  if (mine.empty())
    for (const int64_t sample : observer.samples()) mine += " " + std::to_string(sample);
  std::string there;
  for (const std::string& text : ranks.all_gather_text(mine)) {
    if (text == "found") return ok_status();
    there += text;
  }
  return not_found("[replay] sample ", *request.sample, " is not in step ", request.step,
                   ", whose samples are", there);
}

/// Compares the files of two replays rank by rank; prints what it finds. Whether all are equal.
StatusOr<bool> compare_replays(const std::string& a, const std::string& b) {
  bool equal = true;
  for (int rank = 0;; ++rank) {
    const std::string name = metrics::statistics_file_name(rank);
    if (rank > 0 && !fs::exists(fs::path(a) / name) && !fs::exists(fs::path(b) / name))
      return equal;
    TITAN_ASSIGN_OR_RETURN(const auto left,
                           metrics::read_statistics((fs::path(a) / name).string()));
    TITAN_ASSIGN_OR_RETURN(const auto right,
                           metrics::read_statistics((fs::path(b) / name).string()));
    TITAN_ASSIGN_OR_RETURN(const auto difference, metrics::compare_statistics(left, right));
    equal = equal && !difference.first;
    std::printf("rank %d: %s", rank, metrics::difference_text(left, right, difference).c_str());
    std::fflush(stdout);
  }
}

StatusOr<JobOutcome> replay(const ReplayRequest& request, const JobContext& job, bool& differs) {
  const std::string folder = job.config.job.dump_folder;
  TITAN_ASSIGN_OR_RETURN(const RunFolder run_folder,
                         job.rank.is_main() ? RunFolder::open(folder, "--output")
                                            : StatusOr<RunFolder>(RunFolder::view(folder)));
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
  TITAN_RETURN_IF_ERROR(check_sample(request, observer, job.ranks.control()));
  job.ranks.control().barrier();  // every rank's file is there
  if (!job.rank.is_main()) return outcome;
  TITAN_LOG(INFO) << "[replay] " << (fs::path(folder) / metrics::statistics_file_name(0)).string();
  TITAN_RETURN_IF_ERROR(report_logged_records(RunFolder::view(request.run).metrics_path().string(),
                                              run_folder.metrics_path().string(), request.from_step,
                                              request.step));
  if (request.against.empty()) return outcome;
  TITAN_ASSIGN_OR_RETURN(const bool equal, compare_replays(request.against, folder));
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
