// rng_state.h: the state of LibTorch's default generators. titan itself draws from counters
// (base/philox.h); a block from outside may use dropout.
#pragma once

#include <vector>

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

namespace titan {

/// Copies of the default generators' states: the CPU's and, if it is another, `device`'s.
class RngState {
 public:
  explicit RngState(at::Device device);
  /// Puts the generators back to it.
  void restore() const;
  bool operator==(const RngState& other) const;

 private:
  struct Entry {
    at::Generator generator;
    at::Tensor state;  ///< uint8, on the host
  };
  std::vector<Entry> entries_;
};

/// While alive, the generators go on from `state`; then from where they were.
class RngScope {
 public:
  RngScope(const RngState& state, at::Device device) : before_(device) { state.restore(); }
  ~RngScope() { before_.restore(); }
  RngScope(const RngScope&) = delete;
  RngScope& operator=(const RngScope&) = delete;

 private:
  RngState before_;
};

}  // namespace titan
