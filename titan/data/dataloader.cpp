#include "titan/data/dataloader.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include <c10/core/GradMode.h>

#include "titan/base/log.h"
#include "titan/base/thread_pool.h"
#include "titan/data/batch_builder.h"
#include "titan/data/data_order.h"
#include "titan/data/read_ahead.h"
#include "titan/data/slot_reader.h"

namespace titan {
namespace {

// Below this many reads one broken sample says nothing about the share of broken ones.
constexpr int64_t kMinReadsForShare = 100;

/// One task per slot, batches delivered in order.
class OrderedLoader : public DataLoader {
 public:
  OrderedLoader(std::shared_ptr<const Dataset> dataset, const DataLoaderOptions& options,
                int64_t num_samples)
      : dataset_(std::move(dataset)),
        options_(options),
        layout_(dataset_->layout()),
        order_(num_samples, options.seed, options.shuffle),
        read_ahead_(*dataset_, options.micro_batch),
        pool_(static_cast<std::size_t>(options.num_workers),
              [] { c10::GradMode::set_enabled(false); }) {
    for (int64_t i = 0; i < options_.prefetch_batches; ++i) schedule_next();
  }

  StatusOr<Batch> next() override {
    TITAN_RETURN_IF_ERROR(failure_);
    const auto [builder, first_slot] = std::move(pending_.front());
    pending_.pop_front();
    schedule_next();
    const auto start = std::chrono::steady_clock::now();
    StatusOr<Batch> batch =
        builder->take([&](int64_t i) { return slot_name(*dataset_, order_, first_slot + i); });
    stats_.wait_s +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    failure_ = count(*builder);
    if (failure_.ok()) failure_ = batch.status();
    TITAN_RETURN_IF_ERROR(failure_);
    return batch;
  }

  DataLoaderStats stats() const override { return stats_; }

 private:
  struct Pending {
    std::shared_ptr<BatchBuilder> builder;
    int64_t first_slot;
  };
  /// Where micro-batch `number` of this rank lies.
  struct Slots {
    int64_t cursor;  ///< of its global batch
    int64_t first;
  };
  Slots slots_of(int64_t number) const {
    const int64_t local_batch = options_.global_batch / options_.dp_size;
    const int64_t accumulation = local_batch / options_.micro_batch;
    const int64_t cursor = options_.start_cursor + number / accumulation * options_.global_batch;
    return {cursor,
            cursor + options_.dp_rank * local_batch + number % accumulation * options_.micro_batch};
  }

  void schedule_next() {
    read_ahead_.before(scheduled_, [&](int64_t number, std::vector<int64_t>& indices) {
      for (int64_t i = 0; i < options_.micro_batch; ++i)
        indices.push_back(order_.sample(order_.place(slots_of(number).first + i)));
      return true;
    });
    const auto [cursor, first_slot] = slots_of(scheduled_);
    ++scheduled_;
    auto builder =
        std::make_shared<BatchBuilder>(options_.micro_batch, cursor, layout_, options_.pinned);
    pending_.push_back({builder, first_slot});
    for (int64_t i = 0; i < options_.micro_batch; ++i)
      pool_.submit([this, builder, i, slot = first_slot + i] {
        builder->put(i, fill_slot(*dataset_, order_, options_.seed, slot, builder->places(i)));
      });
  }

  /// Counts a delivered batch (not one read ahead: the run then stops at the same step with any
  /// number of threads).
  Status count(const BatchBuilder& builder) {
    for (const std::string& problem : builder.broken()) {
      ++stats_.broken;
      last_broken_ = problem;
      if (stats_.broken <= 10 || stats_.broken % 100 == 0)
        TITAN_LOG(WARNING) << "[data] skipped broken sample " << problem << " (" << stats_.broken
                           << " so far)";
    }
    stats_.samples_read += options_.micro_batch + static_cast<int64_t>(builder.broken().size());
    const auto allowed = options_.max_broken_share * static_cast<double>(stats_.samples_read);
    if (stats_.samples_read < std::min(kMinReadsForShare, order_.size()) ||
        static_cast<double>(stats_.broken) <= allowed)
      return ok_status();
    return data_loss("[data] too many broken samples: ", stats_.broken, " of ", stats_.samples_read,
                     " read, more than dataset.max_broken_share = ", options_.max_broken_share,
                     "; the last one: ", last_broken_);
  }

  std::shared_ptr<const Dataset> dataset_;
  DataLoaderOptions options_;
  std::vector<FieldLayout> layout_;
  DataOrder order_;
  ReadAheadPlan read_ahead_;
  std::deque<Pending> pending_;
  int64_t scheduled_ = 0;
  DataLoaderStats stats_;
  std::string last_broken_;
  Status failure_;
  ThreadPool pool_;  // last: its threads use the members above
};

Status check_sizes(const DataLoaderOptions& o, int64_t num_samples) {
  if (o.micro_batch < 1 || o.global_batch < 1 || o.dp_size < 1 || o.dp_rank < 0 ||
      o.dp_rank >= o.dp_size)
    return invalid_argument("[data] sizes must be positive and the rank within them (micro batch ",
                            o.micro_batch, ", global batch ", o.global_batch, ", rank ", o.dp_rank,
                            " of ", o.dp_size, ")");
  if (o.global_batch % (o.micro_batch * o.dp_size) != 0)
    return invalid_argument(
        "[data] the global batch must be a multiple of micro batch x data-parallel ranks (",
        o.global_batch, ", ", o.micro_batch, " x ", o.dp_size, ")");
  if (o.start_cursor < 0 || o.start_cursor % o.global_batch != 0)
    return invalid_argument("[data] the cursor must be a multiple of the global batch (",
                            o.start_cursor, ", ", o.global_batch, ")");
  if (num_samples < o.global_batch)
    return invalid_argument("[data] the data set is smaller than the global batch (", num_samples,
                            " samples, ", "training.global_batch_size = ", o.global_batch, ")");
  if (o.num_workers < 1 || o.prefetch_batches < 1)
    return invalid_argument("[data] at least one worker and one batch ahead (", o.num_workers, ", ",
                            o.prefetch_batches, ")");
  return ok_status();
}

}  // namespace

StatusOr<std::unique_ptr<DataLoader>> DataLoader::create(std::shared_ptr<const Dataset> dataset,
                                                         const DataLoaderOptions& options) {
  int64_t num_samples = dataset->size();
  if (options.subset_size > 0) num_samples = std::min(num_samples, options.subset_size);
  TITAN_RETURN_IF_ERROR(check_sizes(options, num_samples));
  return std::make_unique<OrderedLoader>(std::move(dataset), options, num_samples);
}

}  // namespace titan
