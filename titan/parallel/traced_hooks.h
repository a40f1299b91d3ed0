// traced_hooks.h: what happens around each unit, written into the thread's trace.
#pragma once

#include <vector>

#include "titan/base/trace.h"
#include "titan/protocols/block_runner.h"

namespace titan::parallel {

/// Passes every call on to `inner` and adds spans "forward" and "backward" of each unit (recompute
/// is part of the backward). What `inner` does meanwhile (waits for parameters) lies outside of
/// them.
class TracedHooks : public RunnerHooks {
 public:
  /// `inner` outlives this object.
  explicit TracedHooks(RunnerHooks& inner) : inner_(inner) {}

  void begin_pass(bool with_backward) override { inner_.begin_pass(with_backward); }
  void before_forward(std::size_t unit) override;
  void after_forward(std::size_t unit) override;
  void before_backward(std::size_t unit) override;
  void gradients_ready(std::size_t unit, const std::vector<at::Tensor>& gradients) override;

 private:
  void begin(const char* name, std::size_t unit);
  void end(const char* name, std::size_t unit);

  RunnerHooks& inner_;
  std::int64_t began_ns_ = 0;
};

}  // namespace titan::parallel
