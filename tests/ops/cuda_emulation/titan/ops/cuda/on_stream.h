// on_stream.h: as titan/ops/cuda/on_stream.h, on the emulated GPU.
#pragma once

#include <utility>

namespace titan::ops {

template <auto kKernel>
struct OnStream {
  template <class... Arguments>
  void operator()(Arguments&&... arguments) const {
    kKernel(std::forward<Arguments>(arguments)..., nullptr);
  }
};

}  // namespace titan::ops
