#include "titan/data/data_order.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "titan/base/check.h"
#include "titan/base/philox.h"

namespace titan {
namespace {

// Four rounds make a strong pseudo-random permutation of large domains; small ones need more to
// look random.
constexpr std::uint32_t kRounds = 8;
// With fewer bits a Feistel network reaches only some of the permutations; a tiny set then walks a
// few more cycles.
constexpr unsigned kMinHalfBits = 4;

}  // namespace

DataOrder::DataOrder(int64_t n, std::uint64_t seed, bool shuffle)
    : n_(n), seed_(seed), key_(philox_key(seed, RandomPurpose::kDataOrder)), shuffle_(shuffle) {
  TITAN_CHECK(n >= 1, "[data] an order needs a sample (n=", n, ")");
  const auto bits = static_cast<unsigned>(std::bit_width(static_cast<std::uint64_t>(n - 1)));
  half_bits_ = std::max(kMinHalfBits, (bits + 1) / 2);
}

OrderPlace DataOrder::place(int64_t slot) const {
  const int64_t epoch = slot / n_;
  TITAN_CHECK(slot >= 0 && epoch <= std::numeric_limits<std::uint32_t>::max(),
              "[data] slot out of range (", slot, ")");
  return {static_cast<std::uint32_t>(epoch), slot % n_};
}

std::uint64_t DataOrder::permute_once(std::uint64_t value, std::uint32_t epoch) const {
  const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
  std::uint64_t left = value >> half_bits_;
  std::uint64_t right = value & mask;
  for (std::uint32_t round = 0; round < kRounds; ++round) {
    const std::uint64_t mixed = left ^ (philox4x32(key_, round, right, epoch).word[0] & mask);
    left = right;
    right = mixed;
  }
  return left << half_bits_ | right;
}

int64_t DataOrder::sample(const OrderPlace& place) const {
  if (!shuffle_ || n_ == 1) return place.position;
  auto value = static_cast<std::uint64_t>(place.position);
  do {
    value = permute_once(value, place.epoch);
  } while (value >= static_cast<std::uint64_t>(n_));
  return static_cast<int64_t>(value);
}

int64_t DataOrder::probe(std::uint32_t epoch, int64_t index, std::uint32_t attempt) const {
  const PhiloxBlock block = philox4x32(philox_key(seed_, RandomPurpose::kProbe), attempt,
                                       static_cast<std::uint64_t>(index), epoch);
  const std::uint64_t bits = static_cast<std::uint64_t>(block.word[0]) << 32 | block.word[1];
  return static_cast<int64_t>(bits % static_cast<std::uint64_t>(n_));
}

}  // namespace titan
