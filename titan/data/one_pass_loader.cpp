#include "titan/data/one_pass_loader.h"

#include <algorithm>
#include <utility>

#include <c10/core/GradMode.h>

#include "titan/base/ceil_div.h"
#include "titan/base/check.h"
#include "titan/data/slot_reader.h"

namespace titan {
int64_t samples_to_read(const Dataset& dataset, int64_t wanted) {
  return wanted > 0 ? std::min(wanted, dataset.size()) : dataset.size();
}

OnePassLoader::OnePassLoader(std::shared_ptr<const Dataset> dataset, const OnePassOptions& options)
    : dataset_(std::move(dataset)),
      options_(options),
      num_samples_(samples_to_read(*dataset_, options.num_samples)),
      num_batches_(ceil_div(num_samples_, options.batch_size)),
      rounds_(ceil_div(num_batches_, options.num_ranks)),
      order_(num_samples_, options.seed, /*shuffle=*/false),
      read_ahead_(*dataset_, options.batch_size),
      pool_(static_cast<std::size_t>(options.num_workers),
            [] { c10::GradMode::set_enabled(false); }) {
  for (int64_t i = 0; i < options_.prefetch_batches; ++i) schedule_next();
}

void OnePassLoader::schedule_next() {
  if (scheduled_ == rounds_) return;
  read_ahead_.before(scheduled_, [&](int64_t round, std::vector<int64_t>& indices) {
    const int64_t first = (round * options_.num_ranks + options_.rank) * options_.batch_size;
    for (int64_t i = first; i < std::min(first + options_.batch_size, num_samples_); ++i)
      indices.push_back(i);
    return first < num_samples_;
  });
  const int64_t own = scheduled_ * options_.num_ranks + options_.rank;
  ++scheduled_;
  const bool repeated = own >= num_batches_;
  const int64_t first = repeated ? 0 : own * options_.batch_size;
  const int64_t count = std::min(options_.batch_size, num_samples_ - first);
  auto builder = std::make_shared<BatchBuilder>(count, first, dataset_->layout(), options_.pinned);
  pending_.push_back({builder, first, repeated});
  for (int64_t i = 0; i < count; ++i) {
    pool_.submit([this, builder, i, slot = first + i] {
      builder->put(i, fill_slot(*dataset_, order_, options_.seed, slot, builder->places(i)));
    });
  }
}

StatusOr<PassBatch> OnePassLoader::next() {
  TITAN_CHECK(!pending_.empty(), "[data] the pass is over (rounds=", rounds_, ")");
  const Pending pending = std::move(pending_.front());
  pending_.pop_front();
  schedule_next();
  TITAN_ASSIGN_OR_RETURN(Batch batch, pending.builder->take([&](int64_t i) {
    return slot_name(*dataset_, order_, pending.first + i);
  }));
  if (!pending.builder->broken().empty()) {
    return data_loss("[eval] an evaluation sample cannot be read, and none may be left out: ",
                     pending.builder->broken().front());
  }
  return PassBatch{std::move(batch), pending.first, pending.repeated};
}

}  // namespace titan
