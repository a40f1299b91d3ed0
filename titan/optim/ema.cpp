#include "titan/optim/ema.h"

#include <algorithm>
#include <cmath>
#include <exception>

#include <ATen/core/grad_mode.h>

#include "titan/base/check.h"
#include "titan/base/log.h"

namespace titan::optim {
namespace {
// Elements that pass through the buffer at a time: 4 MiB, instead of a third copy of the weights.
constexpr int64_t kSwapElements = int64_t{1} << 20;
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
    shadows_.push_back(unit.master.clone());
}

void Ema::update(int64_t step) {
  if (step < options_.start_step) return copy_weights();
  if (step % options_.interval != 0) return;
  const at::NoGradGuard no_grad;
  for (std::size_t u = 0; u < shadows_.size(); ++u)
    shadows_[u].lerp_(parameters_.units()[u].master, 1 - options_.decay);
}

void Ema::copy_weights() {
  const at::NoGradGuard no_grad;
  for (std::size_t u = 0; u < shadows_.size(); ++u)
    shadows_[u].copy_(parameters_.units()[u].master);
}

void Ema::swap() {
  const at::NoGradGuard no_grad;
  for (std::size_t u = 0; u < shadows_.size(); ++u) {
    const at::Tensor& master = parameters_.units()[u].master;
    for (int64_t start = 0; start < master.numel(); start += kSwapElements) {
      const int64_t length = std::min(kSwapElements, master.numel() - start);
      const at::Tensor weights = master.narrow(0, start, length),
                       average = shadows_[u].narrow(0, start, length);
      const at::Tensor buffer = weights.clone();
      weights.copy_(average);
      average.copy_(buffer);
    }
  }
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
