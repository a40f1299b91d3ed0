#include "tests/support/catch.h"

#include "titan/protocols/init.h"

#include "titan/base/check.h"

namespace init = titan::init;

namespace {
const init::ParameterKey kKey{.seed = 3, .name = "layers.0.attention.wq.weight"};
constexpr int64_t kCount = 200000;

double moment(const at::Tensor& values, int power) {
  return values.to(at::kDouble).pow(power).mean().item<double>();
}
}  // namespace

TEST_CASE("normal_ has the asked deviation and depends on seed and name alone", "[protocols]") {
  const at::Tensor a = torch::zeros({kCount}), b = torch::zeros({kCount});
  init::normal_(a, kKey, 0.02);
  init::normal_(b, kKey, 0.02);
  REQUIRE(torch::equal(a, b));
  REQUIRE(std::abs(moment(a, 1)) < 4 * 0.02 / std::sqrt(kCount));
  REQUIRE(std::sqrt(moment(a, 2)) == Approx(0.02).epsilon(0.01));
  REQUIRE(moment(a / 0.02, 4) == Approx(3.0).epsilon(0.03));
  for (const init::ParameterKey& other :
       {init::ParameterKey{4, kKey.name}, init::ParameterKey{3, "norm.weight"}}) {
    init::normal_(b, other, 0.02);
    REQUIRE(std::abs((a * b).mean().item<double>()) < 4 * 0.0004 / std::sqrt(kCount));
  }
}

TEST_CASE("a slice has the bits of the whole", "[protocols]") {
  const at::Tensor whole = torch::empty({1000}), part = torch::empty({1000});
  const auto check = [&](const auto& fill) {
    fill(init::Slice(whole));
    for (const int64_t offset : {0, 1, 5, 64, 998}) {
      const at::Tensor slice = part.slice(0, offset, 1000);
      fill(init::Slice(slice, {1000}, offset));
      INFO("offset " << offset);
      REQUIRE(torch::equal(slice, whole.slice(0, offset, 1000)));
    }
  };
  check([](const init::Slice& slice) { init::normal_(slice, kKey, 1.5); });
  check([](const init::Slice& slice) { init::truncated_normal_(slice, kKey, 1.0, 0.7); });
  check([](const init::Slice& slice) { init::uniform_(slice, kKey, -1, 2); });
  const at::Tensor matrix = torch::empty({20, 50}), row = torch::empty({50});
  init::xavier_uniform_(matrix, kKey);
  init::xavier_uniform_(init::Slice(row, {20, 50}, 7 * 50), kKey);
  REQUIRE(torch::equal(row, matrix[7]));
}

TEST_CASE("truncated_normal_ has the truncated density and stays inside", "[protocols]") {
  const at::Tensor values = torch::empty({kCount});
  const double stddev = 2, limit = 1.5, bound = limit / stddev;
  init::truncated_normal_(values, kKey, stddev, limit);
  REQUIRE(values.abs().max().item<double>() <= limit);
  // Kolmogorov-Smirnov distance to the truncated distribution: 1.95 / sqrt(n) is exceeded once in a
  // thousand samples.
  const at::Tensor sorted = std::get<0>((values.to(at::kDouble) / stddev).sort());
  const auto phi = [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); };
  double distance = 0;
  for (int64_t i = 0; i < kCount; ++i) {
    const double expected =
        (phi(sorted.const_data_ptr<double>()[i]) - phi(-bound)) / (phi(bound) - phi(-bound));
    distance = std::max(distance, std::abs(expected - static_cast<double>(i) / kCount));
  }
  REQUIRE(distance < 1.95 / std::sqrt(kCount));
  // A wide limit changes nothing.
  const at::Tensor wide = torch::empty({1000}), normal = torch::empty({1000});
  init::truncated_normal_(wide, kKey, 0.02, 2.0);
  init::normal_(normal, kKey, 0.02);
  REQUIRE(torch::allclose(wide, normal, 1e-6, 0));
}

TEST_CASE("uniform_ and xavier_uniform_ fill their range", "[protocols]") {
  const at::Tensor values = torch::empty({kCount});
  init::uniform_(values, kKey, -1, 3);
  REQUIRE(values.min().item<double>() > -1);
  REQUIRE(values.max().item<double>() < 3);
  REQUIRE(moment(values, 1) == Approx(1.0).margin(4 * 4 / std::sqrt(12.0 * kCount)));
  // [8, 3, 2, 2] is the matrix [8, 12]: bound sqrt(6 / 20).
  REQUIRE(init::xavier_bound({8, 3, 2, 2}) == Approx(std::sqrt(6.0 / 20)));
  const at::Tensor kernel = torch::empty({80, 30, 2, 2});
  init::xavier_uniform_(kernel, kKey);
  REQUIRE(kernel.abs().max().item<double>() == Approx(std::sqrt(6.0 / 200)).epsilon(1e-3));
  REQUIRE_THROWS_AS(init::xavier_uniform_(values, kKey), titan::Error);
}

TEST_CASE("initialisers record no gradient and reach any dtype and stride", "[protocols]") {
  at::Tensor leaf = torch::zeros({4, 6}, torch::requires_grad());
  init::normal_(leaf, kKey, 1.0);
  init::constant_(leaf[0], 5.0);
  REQUIRE(leaf.is_leaf());
  REQUIRE(leaf[0].min().item<double>() == 5.0);
  const at::Tensor plain = torch::empty({4, 6}), half = torch::empty({4, 6}, torch::kBFloat16),
                   strided = torch::empty({6, 4}).t();
  init::normal_(plain, kKey, 1.0);
  init::normal_(half, kKey, 1.0);
  init::normal_(strided, kKey, 1.0);
  REQUIRE(torch::equal(half, plain.to(torch::kBFloat16)));
  REQUIRE(torch::equal(strided, plain));
}
