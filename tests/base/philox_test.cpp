#include "tests/support/catch.h"

#include "titan/base/philox.h"

#include <set>

using titan::RandomPurpose;

TEST_CASE("Philox4x32-10 gives the published known answers", "[base]") {
  // Random123's kat_vectors: counter and key all zero, then all ones.
  const titan::PhiloxBlock zero = titan::philox4x32(0, 0, 0, 0);
  REQUIRE(zero.word[0] == 0x6627e8d5U);
  REQUIRE(zero.word[1] == 0xe169c58dU);
  REQUIRE(zero.word[2] == 0xbc57ac4cU);
  REQUIRE(zero.word[3] == 0x9b00dbd8U);
  const titan::PhiloxBlock ones =
      titan::philox4x32(0xffffffffffffffffULL, 0xffffffffU, 0xffffffffffffffffULL, 0xffffffffU);
  REQUIRE(ones.word[0] == 0x408f276dU);
  REQUIRE(ones.word[1] == 0x41c83b0eU);
  REQUIRE(ones.word[2] == 0xa20bc7c6U);
  REQUIRE(ones.word[3] == 0x6d5451fdU);
}

TEST_CASE("uniforms stay inside the open interval", "[base]") {
  REQUIRE(titan::uniform_from_bits(0) > 0.0F);
  REQUIRE(titan::uniform_from_bits(0xffffffffU) < 1.0F);
}

TEST_CASE("draws differ by purpose, sample, epoch and index, and repeat for equal keys", "[base]") {
  const auto draw = [](RandomPurpose purpose, std::uint64_t sample, std::uint32_t epoch,
                       std::uint32_t index) {
    return titan::random_bits(7, purpose, sample, epoch, index);
  };
  std::set<std::uint32_t> seen;
  for (const RandomPurpose purpose : {RandomPurpose::kNoise, RandomPurpose::kCrop})
    for (std::uint64_t sample = 0; sample < 4; ++sample)
      for (std::uint32_t epoch = 0; epoch < 3; ++epoch)
        for (std::uint32_t index = 0; index < 6; ++index)
          seen.insert(draw(purpose, sample, epoch, index));
  REQUIRE(seen.size() == 2 * 4 * 3 * 6);
  REQUIRE(draw(RandomPurpose::kCrop, 3, 1, 5) == draw(RandomPurpose::kCrop, 3, 1, 5));
  REQUIRE(titan::random_bits(7, RandomPurpose::kCrop, 1ULL << 40, 0) !=
          titan::random_bits(7, RandomPurpose::kCrop, 0, 0));
}

TEST_CASE("normal draws have the moments of a standard normal", "[base]") {
  const int num_blocks = 50000;
  const std::uint64_t key = titan::philox_key(11, RandomPurpose::kNoise);
  double sum = 0, squares = 0;
  for (int block = 0; block < num_blocks; ++block) {
    const titan::PhiloxBlock bits = titan::philox4x32(key, static_cast<std::uint32_t>(block), 5, 0);
    float a, b;
    titan::normal_pair(bits.word[0], bits.word[1], &a, &b);
    sum += a + b;
    squares += static_cast<double>(a) * a + static_cast<double>(b) * b;
  }
  const double count = 2.0 * num_blocks;
  // 4 standard errors: 4 / sqrt(1e5) and 4 * sqrt(2 / 1e5).
  REQUIRE(std::abs(sum / count) < 0.0127);
  REQUIRE(std::abs(squares / count - 1) < 0.018);
}

TEST_CASE("random_below stays below its bound and reaches every value", "[base]") {
  std::set<std::uint32_t> seen;
  for (std::uint64_t sample = 0; sample < 200; ++sample) {
    const std::uint32_t value = titan::random_below(7, 1, RandomPurpose::kCrop, sample, 0);
    REQUIRE(value < 7);
    seen.insert(value);
  }
  REQUIRE(seen.size() == 7);
}
