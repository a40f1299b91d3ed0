// data_order.h: which sample stands where in an epoch: a pure function, so that resuming needs one
// integer.
#pragma once

#include <cstdint>

namespace titan {

/// Place of a global slot: the `position`-th sample of epoch `epoch`.
struct OrderPlace {
  std::uint32_t epoch = 0;
  int64_t position = 0;
};

/// A new permutation of [0, n) for every epoch, computed position by position in constant memory: a
/// Feistel network over Philox (Luby & Rackoff 1988), restricted to n by walking cycles (Black &
/// Rogaway 2002, "Ciphers with arbitrary finite domains"). With `shuffle` off: stored order.
class DataOrder {
 public:
  /// n >= 1.
  DataOrder(int64_t n, std::uint64_t seed, bool shuffle);

  int64_t size() const { return n_; }
  /// Slots run through epoch after epoch without a gap: slot g is position g mod n of epoch g / n.
  OrderPlace place(int64_t slot) const;
  /// Index of the sample at `position` in [0, n).
  int64_t sample(const OrderPlace& place) const;
  /// Index that replaces sample `index` after `attempt` (0, 1, ...) unusable ones: uniform over [0,
  /// n), a pure function, so that other slots never move.
  int64_t probe(std::uint32_t epoch, int64_t index, std::uint32_t attempt) const;

 private:
  std::uint64_t permute_once(std::uint64_t value, std::uint32_t epoch) const;

  int64_t n_;
  std::uint64_t seed_;
  std::uint64_t key_;
  bool shuffle_;
  unsigned half_bits_;  ///< the network permutes [0, 4^half_bits), at least n
};

}  // namespace titan
