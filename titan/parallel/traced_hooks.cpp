#include "titan/parallel/traced_hooks.h"

namespace titan::parallel {

void TracedHooks::begin(const char* name, std::size_t unit) {
  if (Trace* const trace = current_trace()) trace->enter(name, static_cast<int>(unit));
  began_ns_ = Trace::now_ns();
}

void TracedHooks::end(const char* name, std::size_t unit) {
  if (Trace* const trace = current_trace()) {
    trace->add({.name = name,
                .unit = static_cast<int>(unit),
                .begin_ns = began_ns_,
                .end_ns = Trace::now_ns()});
  }
}

void TracedHooks::before_forward(std::size_t unit) {
  inner_.before_forward(unit);
  begin("forward", unit);
}

void TracedHooks::after_forward(std::size_t unit) {
  end("forward", unit);
  inner_.after_forward(unit);
}

void TracedHooks::before_backward(std::size_t unit) {
  inner_.before_backward(unit);
  begin("backward", unit);
}

void TracedHooks::gradients_ready(std::size_t unit, const std::vector<at::Tensor>& gradients) {
  end("backward", unit);
  inner_.gradients_ready(unit, gradients);
}

}  // namespace titan::parallel
