#include "tests/support/catch.h"

#include "titan/ops/philox.h"

#include "titan/base/check.h"
#include "titan/kernels/philox.h"

using titan::RandomPurpose;

namespace {

at::Tensor ids(std::vector<int64_t> values) { return torch::tensor(values, torch::kInt64); }

/// The rule itself, one element at a time, with the C library's functions.
double reference(titan::kernels::RandomField field, std::uint64_t key, int64_t sample,
                 int64_t epoch, int64_t element) {
  const titan::PhiloxBlock bits =
      titan::philox4x32(key, static_cast<std::uint32_t>(element / 4),
                        static_cast<std::uint64_t>(sample), static_cast<std::uint32_t>(epoch));
  if (field == titan::kernels::RandomField::kUniform)
    return titan::uniform_from_bits(bits.word[element % 4]);
  const int64_t pair = element % 4 / 2;
  float value[2];
  titan::normal_pair(bits.word[2 * pair], bits.word[2 * pair + 1], &value[0], &value[1]);
  return value[element % 2];
}

}  // namespace

TEST_CASE("philox_normal and philox_uniform follow the rule of base/philox.h", "[ops]") {
  const std::uint64_t seed = 0xFEDCBA9876543210ULL;
  const std::vector<int64_t> samples{0, 5, int64_t{1} << 40}, epochs{0, 3, 1};
  // 3 * 1471 elements: not a multiple of a block, of a vector batch or of a task.
  const std::vector<int64_t> tail{3, 1471};
  const at::Tensor normal =
      titan::ops::philox_normal(ids(samples), ids(epochs), tail, seed, RandomPurpose::kNoise);
  const at::Tensor uniform =
      titan::ops::philox_uniform(ids(samples), ids(epochs), tail, seed, RandomPurpose::kNoise);
  REQUIRE(normal.sizes() == at::IntArrayRef({3, 3, 1471}));
  REQUIRE(normal.scalar_type() == at::kFloat);
  const std::uint64_t key = titan::philox_key(seed, RandomPurpose::kNoise);
  const int64_t elements = normal[0].numel();
  double largest = 0;
  int64_t unequal = 0;
  for (std::size_t row = 0; row < samples.size(); ++row) {
    const at::Tensor n = normal[static_cast<int64_t>(row)].flatten(),
                     u = uniform[static_cast<int64_t>(row)].flatten();
    for (int64_t i = 0; i < elements; ++i) {
      const double expected =
          reference(titan::kernels::RandomField::kNormal, key, samples[row], epochs[row], i);
      largest = std::max(largest, std::abs(n.const_data_ptr<float>()[i] - expected));
      unequal += u.const_data_ptr<float>()[i] !=
                 static_cast<float>(reference(titan::kernels::RandomField::kUniform, key,
                                              samples[row], epochs[row], i));
    }
  }
  CAPTURE(largest);
  REQUIRE(unequal == 0);
  REQUIRE(largest < 1e-6);  // the same formula, other roundings of logarithm and cosine
}

TEST_CASE("a philox row depends on its sample and epoch alone, whatever the batch and the threads",
          "[ops]") {
  const std::vector<int64_t> tail{40000};
  const auto draw = [&](std::vector<int64_t> sample, std::vector<int64_t> epoch) {
    return titan::ops::philox_normal(ids(std::move(sample)), ids(std::move(epoch)), tail, 7,
                                     RandomPurpose::kNoise);
  };
  const at::Tensor together = draw({3, 9, 3}, {0, 0, 1});
  REQUIRE(torch::equal(together[1], draw({9}, {0})[0]));
  REQUIRE_FALSE(torch::equal(together[0], together[2]));
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor alone = draw({3, 9, 3}, {0, 0, 1});
  at::set_num_threads(threads);
  REQUIRE(torch::equal(together, alone));
}

TEST_CASE("philox seeds and purposes give unrelated fields with the right moments", "[ops]") {
  const auto draw = [](std::uint64_t seed, RandomPurpose purpose) {
    return titan::ops::philox_normal(ids({1, 2}), ids({0, 0}), {1 << 16}, seed, purpose)
        .flatten()
        .to(at::kDouble);
  };
  const at::Tensor a = draw(1, RandomPurpose::kNoise);
  const double standard_error = 1.0 / std::sqrt(a.numel());
  REQUIRE(std::abs(a.mean().item<double>()) < 4 * standard_error);
  REQUIRE(std::abs(a.square().mean().item<double>() - 1) < 4 * std::sqrt(2.0) * standard_error);
  for (const at::Tensor& b : {draw(2, RandomPurpose::kNoise), draw(1, RandomPurpose::kSampling)}) {
    REQUIRE(std::abs((a * b).mean().item<double>()) < 4 * standard_error);
  }
}

TEST_CASE("any part of a philox field can be filled alone", "[ops]") {
  std::vector<float> whole(1000), part(1000);
  const auto field = titan::kernels::RandomField::kNormal;
  titan::kernels::philox_fill_cpu(field, 42, 7, 1, 0, 1000, whole.data());
  for (const int64_t first : {0, 1, 2, 3, 63, 64, 65, 999}) {
    for (const int64_t count : {int64_t{0}, int64_t{1}, int64_t{70}, 1000 - first}) {
      if (first + count > 1000) continue;
      titan::kernels::philox_fill_cpu(field, 42, 7, 1, first, count, part.data());
      INFO("first " << first << ", count " << count);
      REQUIRE(std::equal(part.begin(), part.begin() + count, whole.begin() + first));
    }
  }
}

TEST_CASE("philox ops accept empty batches and refuse ids of another kind", "[ops]") {
  const at::Tensor none =
      titan::ops::philox_normal(ids({}), ids({}), {2, 3}, 1, RandomPurpose::kNoise);
  REQUIRE(none.sizes() == at::IntArrayRef({0, 2, 3}));
  REQUIRE(titan::ops::philox_uniform(ids({4}), ids({0}), {}, 1, RandomPurpose::kNoise).dim() == 1);
  REQUIRE_THROWS_AS(
      titan::ops::philox_normal(torch::zeros({2}), ids({0, 0}), {1}, 1, RandomPurpose::kNoise),
      titan::Error);
  REQUIRE_THROWS_AS(titan::ops::philox_normal(ids({1}), ids({0, 0}), {1}, 1, RandomPurpose::kNoise),
                    titan::Error);
}
