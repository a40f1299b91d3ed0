// AdamW's CUDA kernel, emulated: the bits of its CPU twin.
#include "tests/support/catch.h"

#include <cstring>
#include <random>
#include <vector>

#include "titan/kernels/adamw.h"

namespace titan::kernels {
namespace {

/// Bytes of `count` numbers, a number behind a 16-byte boundary where `offset` is 1.
class Numbers {
 public:
  Numbers(StorageType type, std::int64_t count, std::int64_t offset)
      : size_(type == StorageType::kFloat32 ? 4 : 2), offset_(offset) {
    bytes_.resize(static_cast<std::size_t>((count + offset + kMargin) * size_));
  }
  /// Positive ones where `least` is 0.
  void fill(float least, std::uint32_t seed) {
    std::mt19937 engine(seed);
    std::uniform_real_distribution<float> uniform(least, 1.0F);
    for (std::size_t i = 0; i + 4 <= bytes_.size(); i += static_cast<std::size_t>(size_)) {
      const float value = uniform(engine);
      // The high half of a float32 is a bfloat16.
      const char* from = reinterpret_cast<const char*>(&value) + 4 - size_;
      std::memcpy(bytes_.data() + i, from, static_cast<std::size_t>(size_));
    }
  }
  template <class T = void>
  T* data() {
    return reinterpret_cast<T*>(bytes_.data() + offset_ * size_);
  }
  bool operator==(const Numbers&) const = default;

 private:
  static constexpr std::int64_t kMargin = 8;  // must stay as it is
  std::int64_t size_, offset_;
  std::vector<char> bytes_;
};

struct Buffers {
  Numbers weight, remainder, grad, first, second, average, copy;
  Buffers(StorageType weights, StorageType grads, StorageType state, std::int64_t count,
          std::int64_t offset)
      : weight(weights, count, offset),
        remainder(StorageType::kBFloat16, count, offset),
        grad(grads, count, offset),
        first(state, count, offset),
        second(state, count, offset),
        average(StorageType::kFloat32, count, offset),
        copy(StorageType::kBFloat16, count, offset) {
    weight.fill(-1.0F, 1);
    remainder.fill(-1.0F, 2);
    grad.fill(-1.0F, 3);
    first.fill(-1.0F, 4);
    second.fill(0.0F, 5);
    average.fill(-1.0F, 6);
  }
  bool operator==(const Buffers&) const = default;
};

TEST_CASE("AdamW's CUDA kernel has the CPU's bits", "[kernels]") {
  constexpr StorageType kFull = StorageType::kFloat32, kHalf = StorageType::kBFloat16;
  // More than the emulated device's one block takes at once, with a tail.
  constexpr std::int64_t kCount = 2048 + 1024 + 5;
  enum class Kind { kFloat32, kPair, kStochastic };
  for (const Kind kind : {Kind::kFloat32, Kind::kPair, Kind::kStochastic}) {
    for (const StorageType grads : {kFull, kHalf}) {
      for (const StorageType state : {kFull, kHalf}) {
        for (const std::int64_t offset : {0, 1}) {
          for (const float skip : {0.0F, 1.0F}) {
            const StorageType weights = kind == Kind::kFloat32 ? kFull : kHalf;
            CAPTURE(static_cast<int>(kind), static_cast<int>(grads), static_cast<int>(state),
                    offset, skip);
            const float step = 7.0F, lr = 1e-2F, clip = 0.5F, average_weight = 0.125F;
            const Buffers before(weights, grads, state, kCount, offset);
            const auto run = [&](Buffers& b) {
              AdamWRun all;
              all.count = kCount;
              all.weight = b.weight.data();
              all.weight_type = weights;
              if (kind == Kind::kPair) all.remainder = b.remainder.data<std::uint16_t>();
              all.grad = b.grad.data();
              all.grad_type = grads;
              all.exp_avg = b.first.data();
              all.exp_avg_sq = b.second.data();
              all.state_type = state;
              all.average = b.average.data<float>();
              all.average_weight = &average_weight;
              if (kind == Kind::kFloat32) all.copy = b.copy.data<std::uint16_t>();
              all.step = &step;
              all.lr = &lr;
              all.clip = &clip;
              all.skip = &skip;
              all.beta1 = 0.9;
              all.beta2 = 0.999;
              all.eps = 1e-8;
              all.weight_decay = 0.1;
              all.key = 12345;
              all.stream = 3;
              all.first_element = 3 * offset;  // 3: rounding takes two random blocks
              return all;
            };
            Buffers expected = before, actual = before;
            adamw_cpu(run(expected));
            adamw_cuda(run(actual), nullptr);
            REQUIRE(actual == expected);
            REQUIRE(!(actual.average == before.average));
            REQUIRE((actual.weight == before.weight) == (skip != 0.0F));
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace titan::kernels
