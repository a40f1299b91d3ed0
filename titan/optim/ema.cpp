#include "titan/optim/ema.h"

#include <algorithm>
#include <cmath>
#include <exception>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include "titan/base/check.h"
#include "titan/base/log.h"

namespace titan::optim {
namespace {
// Elements that pass through the buffer at a time: 4 MiB, instead of a third copy of the weights.
constexpr int64_t kPieceElements = int64_t{1} << 20;

template <class Visit>
void in_pieces(const std::vector<parallel::FlatUnit>& units, const std::vector<at::Tensor>& shadows,
               const Visit& visit) {
  for (std::size_t u = 0; u < shadows.size(); ++u) {
    for (int64_t start = 0; start < shadows[u].numel(); start += kPieceElements) {
      const int64_t length = std::min(kPieceElements, shadows[u].numel() - start);
      visit(units[u].weights().narrow(start, length), shadows[u].narrow(0, start, length));
    }
  }
}

void exchange(const parallel::FlatValues& weights, const at::Tensor& average) {
  const at::Tensor buffer = weights.values().clone();
  weights.assign(average);
  average.copy_(buffer);
}

// Sixteen bits of weights and 32 of average, in the same memory in another order: the average as a
// pair, of which the model takes the bfloat16 half; its other half and the weights in the shadow.
void put_in(const at::Tensor& weights, const at::Tensor& average) {
  const at::Tensor halves = average.view(at::kShort).view({-1, 2});
  const at::Tensor own = weights.view(at::kShort).clone();
  const parallel::FlatValues pair{weights, at::empty_like(own)};
  pair.assign(average);
  halves.select(1, 0).copy_(pair.remainder);
  halves.select(1, 1).copy_(own);
}
void take_out(const at::Tensor& weights, const at::Tensor& average) {
  const at::Tensor halves = average.view(at::kShort).view({-1, 2});
  const at::Tensor own = halves.select(1, 1).clone();
  const parallel::FlatValues pair{weights, halves.select(1, 0).clone()};
  average.copy_(pair.values());
  weights.view(at::kShort).copy_(own);
}

}  // namespace

EmaOptions ema_options(const EmaSection& section) {
  EmaOptions options{
      .decay = section.decay, .interval = section.interval, .start_step = section.start_step};
  if (section.half_life)
    options.decay = std::exp2(-static_cast<double>(section.interval) / *section.half_life);
  return options;
}

Ema::Ema(parallel::FlatParameters& parameters, EmaOptions options)
    : parameters_(parameters), options_(options) {
  TITAN_CHECK(options_.decay >= 0 && options_.decay < 1 && options_.interval >= 1,
              "[ema] decay lies in [0, 1) and interval is at least 1 (decay=", options_.decay,
              ", interval=", options_.interval, ")");
  const at::NoGradGuard no_grad;
  for (const parallel::FlatUnit& unit : parameters_.units())
    shadows_.push_back(at::empty(unit.master.sizes(), unit.master.options().dtype(at::kFloat)));
  copy_weights();
}

double Ema::share(int64_t step) const {
  if (step < options_.start_step) return 1;
  return step % options_.interval == 0 ? 1 - options_.decay : 0;
}

void Ema::update(int64_t step) {
  const double share_now = share(step);
  if (share_now == 1) return copy_weights();
  if (share_now == 0) return;
  const at::NoGradGuard no_grad;
  in_pieces(parameters_.units(), shadows_,
            [&](const parallel::FlatValues& weights, const at::Tensor& average) {
              average.lerp_(weights.values().to(at::kFloat), share_now);
            });
}

void Ema::copy_weights() {
  const at::NoGradGuard no_grad;
  in_pieces(parameters_.units(), shadows_,
            [](const parallel::FlatValues& weights, const at::Tensor& average) {
              average.copy_(weights.values());
            });
}

void Ema::swap() {
  const at::NoGradGuard no_grad;
  const bool bare = parameters_.options().master == parallel::MasterWeights::kStochastic;
  in_pieces(parameters_.units(), shadows_,
            [&](const parallel::FlatValues& weights, const at::Tensor& average) {
              if (!bare) {
                exchange(weights, average);
              } else if (swapped_) {
                take_out(weights.stored, average);
              } else {
                put_in(weights.stored, average);
              }
            });
  swapped_ = !swapped_;
  parameters_.weights_changed();
}

Ema::Scope::~Scope() {
  if (ema_ == nullptr) return;
  try {
    ema_->swap();
  } catch (const std::exception& error) {
    TITAN_LOG(ERROR) << "[ema] the weights could not be put back after sampling: " << error.what();
  }
}

}  // namespace titan::optim
