#include "tests/support/catch.h"

#include "titan/ops/adamw.h"

#include <cmath>
#include <functional>
#include <utility>

#include <ATen/Parallel.h>
#include <ATen/ops/_fused_adamw.h>

#include "titan/base/check.h"
#include "titan/base/philox.h"
#include "titan/kernels/cpu/random_words.h"
#include "titan/parallel/flat_values.h"

#include "tests/ops/op_testing.h"

namespace titan {
namespace {

using parallel::FlatValues;
using testing::SimdScope;
using titan::kernels::cpu::SimdLevel;

constexpr int64_t kSteps = 200;
constexpr double kClip = 0.75;

enum class Weights { kFloat32, kPair, kStochastic };

at::Generator generator(uint64_t seed) { return at::make_generator<at::CPUGeneratorImpl>(seed); }
at::Tensor draw(int64_t count, uint64_t seed) {
  return at::randn({count}, generator(seed), at::kFloat);
}
/// Gradients of very different sizes, some zero.
at::Tensor gradient(int64_t count, int64_t step) {
  const at::Tensor g = draw(count, 100 + static_cast<uint64_t>(step));
  return g * at::pow(10, g.roll({1}) - 3) * (g.abs() > 0.05);
}
at::Tensor one(double value) { return at::full({}, value, at::kFloat); }
double rate(int64_t step) { return 0.02 / static_cast<double>(step); }

/// A run in the middle of larger buffers: `offset` elements in, so that nothing is aligned.
struct Run {
  FlatValues weight;
  at::Tensor grad, exp_avg, exp_avg_sq, average, copy;
  ops::AdamWConstants constants{.weight_decay = 0.3, .seed = 17, .stream = 5};

  Run(const at::Tensor& start, Weights weights, at::ScalarType state, at::ScalarType gradients,
      int64_t offset = 3) {
    const int64_t count = start.numel();
    const auto part = [&](at::ScalarType dtype) {
      return at::zeros({count + offset + 9}, dtype).narrow(0, offset, count);
    };
    weight.stored = part(weights == Weights::kFloat32 ? at::kFloat : at::kBFloat16);
    if (weights == Weights::kPair) weight.remainder = part(at::kShort);
    weight.assign(start);
    grad = part(gradients);
    exp_avg = part(state);
    exp_avg_sq = part(state);
  }
  ops::AdamWBuffers buffers() const {
    return {weight.stored, weight.remainder, grad, exp_avg, exp_avg_sq, average, copy};
  }
  void step(int64_t n, const at::Tensor& values) {
    grad.copy_(values);
    ops::adamw_(buffers(),
                {.step = one(static_cast<double>(n)),
                 .lr = one(rate(n)),
                 .clip = one(kClip),
                 .skip = one(0),
                 .average_weight = average.defined() ? one(0.01) : at::Tensor()},
                constants);
  }
  void steps(int64_t count = kSteps) {
    for (int64_t n = 1; n <= count; ++n) step(n, gradient(weight.numel(), n));
  }
};

/// The paper's update in float64.
struct Reference {
  at::Tensor p, m, v;
  explicit Reference(const at::Tensor& start)
      : p(start.to(at::kDouble)), m(at::zeros_like(p)), v(at::zeros_like(p)) {}
  void step(int64_t n, const at::Tensor& values, const ops::AdamWConstants& c) {
    const at::Tensor g = values.to(at::kDouble) * kClip;
    const double lr = static_cast<float>(rate(n)), steps = static_cast<double>(n);
    p = p * (1 - lr * c.weight_decay);
    m = c.beta1 * m + (1 - c.beta1) * g;
    v = c.beta2 * v + (1 - c.beta2) * g * g;
    const at::Tensor root = v.sqrt() / std::sqrt(1 - std::pow(c.beta2, steps));
    p = p - lr / (1 - std::pow(c.beta1, steps)) * m / (root + c.eps);
  }
};

double largest(const at::Tensor& difference) { return difference.abs().max().item<double>(); }
bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == at::kFloat
             ? at::equal(a.clone().view(at::kInt), b.clone().view(at::kInt))
             : at::equal(a, b);
}

}  // namespace

TEST_CASE("adamw_ in float32 is as near to float64 as LibTorch's fused update", "[ops]") {
  const int64_t count = GENERATE(1, 7, 1000, 40003);
  const at::Tensor start = draw(count, 1);
  Run run(start, Weights::kFloat32, at::kFloat, at::kFloat);
  Reference expected(start);
  const at::Tensor theirs = start.clone(), m = at::zeros_like(start), v = at::zeros_like(start);
  for (int64_t n = 1; n <= kSteps; ++n) {
    const at::Tensor g = gradient(count, n);
    run.step(n, g);
    expected.step(n, g, run.constants);
    const at::Tensor step = one(static_cast<double>(n)), lr = one(rate(n));
    at::_fused_adamw_({theirs}, {g * kClip}, {m}, {v}, {}, {step}, lr, run.constants.beta1,
                      run.constants.beta2, run.constants.weight_decay, run.constants.eps,
                      /*amsgrad=*/false, /*maximize=*/false);
  }
  const double ours = largest(run.weight.stored - expected.p);
  CAPTURE(count, ours, largest(theirs - expected.p));
  // Weights of size 4 to 8 (spacing 4.8e-7) are rounded twice a step: a deviation of 1.4e-7 each
  // time, 2.8e-6 after 400 of them. Four of those; LibTorch's update has the same error.
  REQUIRE(ours < 1.2e-5);
  REQUIRE(ours <= 2 * largest(theirs - expected.p) + 1e-7);
  REQUIRE(largest(run.exp_avg - expected.m) <= 1e-6 * largest(expected.m));
  REQUIRE(largest(run.exp_avg_sq - expected.v) <= 1e-6 * largest(expected.v));
}

TEST_CASE("pairs make the float32 updates to the bit, and their upper half is the nearest",
          "[ops]") {
  const int64_t count = GENERATE(1, 8, 2049, 40003);
  const at::ScalarType state = GENERATE(at::kFloat, at::kBFloat16);
  const at::Tensor start = draw(count, 2);
  Run wide(start, Weights::kFloat32, state, at::kBFloat16);
  Run pairs(start, Weights::kPair, state, at::kBFloat16, /*offset=*/5);
  for (Run* run : {&wide, &pairs}) {
    run->average = start.clone();
    run->steps();
  }
  CAPTURE(count, c10::toString(state));
  REQUIRE(same_bits(pairs.weight.values(), wide.weight.stored));
  REQUIRE(same_bits(pairs.average, wide.average));
  REQUIRE(at::equal(pairs.exp_avg, wide.exp_avg));
  REQUIRE(at::equal(pairs.exp_avg_sq, wide.exp_avg_sq));
  // Nearest: as near as LibTorch's rounding, which differs for halves alone.
  const at::Tensor exact = wide.weight.stored.to(at::kDouble);
  REQUIRE(at::equal((pairs.weight.stored.to(at::kDouble) - exact).abs(),
                    (wide.weight.stored.to(at::kBFloat16).to(at::kDouble) - exact).abs()));
}

TEST_CASE("adamw_ writes the average and the bfloat16 copy in its pass", "[ops]") {
  const at::Tensor start = draw(5003, 3);
  Run run(start, Weights::kFloat32, at::kFloat, at::kFloat);
  run.average = start.clone();
  run.copy = at::empty_like(start, at::kBFloat16);
  at::Tensor expected = start.to(at::kDouble);
  for (int64_t n = 1; n <= 20; ++n) {
    run.step(n, gradient(start.numel(), n));
    expected = expected + 0.01 * (run.weight.stored.to(at::kDouble) - expected);
  }
  REQUIRE(largest(run.average - expected) < 20 * 3e-7);  // 20 roundings of values up to 4
  REQUIRE(at::equal(run.copy, run.weight.stored.to(at::kBFloat16)));
  // A share of 1 copies, of 0 leaves; a step that is left out changes nothing else.
  const at::Tensor before = run.weight.stored.clone(), m = run.exp_avg.clone();
  run.grad.fill_(NAN);
  ops::AdamWStep left_out{
      .step = one(21), .lr = one(0.1), .clip = one(NAN), .skip = one(1), .average_weight = one(0)};
  const at::Tensor average = run.average.clone();
  ops::adamw_(run.buffers(), left_out, run.constants);
  REQUIRE(same_bits(run.average, average));
  left_out.average_weight = one(1);
  ops::adamw_(run.buffers(), left_out, run.constants);
  REQUIRE(same_bits(run.average, before));
  REQUIRE(same_bits(run.weight.stored, before));
  REQUIRE(same_bits(run.exp_avg, m));
}

TEST_CASE("stochastic rounding is right on average where nearest never moves", "[ops]") {
  // Updates of 1/50 of bfloat16's spacing at 1 (2^-7): rounded to nearest they are all lost.
  constexpr int64_t kCount = 20000, kMoves = 50;
  const double move = 0x1.0p-7 / 50;
  Run run(at::ones({kCount}), Weights::kStochastic, at::kFloat, at::kFloat);
  run.constants.weight_decay = 0;
  for (int64_t n = 1; n <= kMoves; ++n) {
    run.grad.fill_(-1);  // a constant gradient: the update is lr, whatever its size
    ops::adamw_(run.buffers(),
                {.step = one(static_cast<double>(n)),
                 .lr = one(move),
                 .clip = {},
                 .skip = {},
                 .average_weight = {}},
                run.constants);
  }
  const at::Tensor moved = run.weight.stored.to(at::kDouble) - 1;
  // One spacing in the mean; a single weight takes 50 draws of probability 1/50, so it is off by a
  // spacing or so (deviation sqrt(0.98)), and the mean of 20,000 of them by 1/140 of that. 5 sigma.
  const double spacing = 0x1.0p-7;
  REQUIRE(std::abs(moved.mean().item<double>() / spacing - 1) < 5 * 0.99 / std::sqrt(kCount));
  REQUIRE(moved.std().item<double>() / spacing == Approx(std::sqrt(0.98)).epsilon(0.05));
  Run again(at::ones({kCount}), Weights::kStochastic, at::kFloat, at::kFloat);
  again.constants = run.constants;
  again.steps(3);
  Run third(at::ones({kCount}), Weights::kStochastic, at::kFloat, at::kFloat);
  third.constants = run.constants;
  third.steps(3);
  REQUIRE(at::equal(again.weight.stored, third.weight.stored));
  Run seeded(at::ones({kCount}), Weights::kStochastic, at::kFloat, at::kFloat);
  seeded.constants = run.constants;
  seeded.constants.seed = 18;
  seeded.steps(3);
  REQUIRE_FALSE(at::equal(again.weight.stored, seeded.weight.stored));
}

TEST_CASE("a bfloat16 second moment falls with the gradients", "[ops]") {
  // beta2 = 0.999: a step takes 1/1000 of the moment away, a quarter of bfloat16's half spacing.
  // Rounded to nearest it would stay where the first gradients have brought it.
  constexpr int64_t kCount = 4000;
  Run run(at::zeros({kCount}), Weights::kFloat32, at::kBFloat16, at::kFloat);
  run.constants.beta2 = 0.999;
  Reference expected(at::zeros({kCount}));
  for (int64_t n = 1; n <= 1000; ++n) {
    const at::Tensor g = at::full({kCount}, n <= 100 ? 1.0 : 0.01, at::kFloat);
    run.step(n, g);
    expected.step(n, g, run.constants);
  }
  const at::Tensor v = run.exp_avg_sq.to(at::kDouble);
  const double exact = expected.v.mean().item<double>();
  CAPTURE(exact, v.mean().item<double>());
  // 1000 roundings of at most 2^-8 of the value each: a random walk of 0.4 % x sqrt(1000) x 0.4 per
  // element, a 63rd of it in the mean.
  REQUIRE(v.mean().item<double>() == Approx(exact).epsilon(0.01));
  REQUIRE((v / exact - 1).abs().max().item<double>() < 0.4);
}

TEST_CASE("bfloat16 storage trains a regression as float32 does", "[ops]") {
  // Least squares on 64 features with noise: what is left of the loss after 200 steps.
  const at::Tensor x = at::randn({512, 64}, generator(4)), truth = draw(64, 5);
  const at::Tensor y = x.mv(truth) + 0.1 * draw(512, 6);
  const auto loss_after = [&](Weights weights, at::ScalarType state) {
    Run run(at::zeros({64}), weights, state, at::kFloat);
    run.constants.weight_decay = 0;
    for (int64_t n = 1; n <= kSteps; ++n) {
      const at::Tensor w = run.weight.values().to(at::kFloat);
      run.grad.copy_(x.t().mv(x.mv(w) - y) * (2.0 / 512));
      const double lr = 0.05 * (1 - static_cast<double>(n - 1) / kSteps);
      ops::adamw_(run.buffers(),
                  {.step = one(static_cast<double>(n)),
                   .lr = one(lr),
                   .clip = {},
                   .skip = {},
                   .average_weight = {}},
                  run.constants);
    }
    return (x.mv(run.weight.values().to(at::kFloat)) - y).square().mean().item<double>();
  };
  const double exact = loss_after(Weights::kFloat32, at::kFloat);
  REQUIRE(exact < 0.012);  // the noise, 0.1^2
  REQUIRE(loss_after(Weights::kPair, at::kFloat) == exact);
  REQUIRE(loss_after(Weights::kPair, at::kBFloat16) < 1.02 * exact);
  // Weights of size 1 are known to 2^-8 only, 64 of them: 64 x (2^-8)^2 x 1/6 more.
  REQUIRE(loss_after(Weights::kStochastic, at::kBFloat16) < exact + 64 * 0x1.0p-16);
}

TEST_CASE("adamw_ gives the same bits on every vector width, cut and number of threads", "[ops]") {
  const Weights weights = GENERATE(Weights::kFloat32, Weights::kPair, Weights::kStochastic);
  const at::ScalarType state = GENERATE(at::kFloat, at::kBFloat16);
  constexpr int64_t kCount = 70001, kFew = 4;
  const at::Tensor start = draw(kCount, 7);
  const auto result = [&](SimdLevel level, int threads, int64_t cut) {
    const SimdScope simd(level);
    const int before = at::get_num_threads();
    at::set_num_threads(threads);
    Run run(start, weights, state, at::kFloat);
    run.average = start.clone();
    for (int64_t n = 1; n <= kFew; ++n) {
      run.grad.copy_(gradient(kCount, n));
      for (const auto& [first, last] : {std::pair<int64_t, int64_t>{0, cut}, {cut, kCount}}) {
        const auto part = [&, begin = first, length = last - first](const at::Tensor& flat) {
          return flat.defined() ? flat.narrow(0, begin, length) : flat;
        };
        const ops::AdamWBuffers b = run.buffers();
        ops::AdamWConstants constants = run.constants;
        constants.first_element = first;
        ops::adamw_({part(b.weight),
                     part(b.remainder),
                     part(b.grad),
                     part(b.exp_avg),
                     part(b.exp_avg_sq),
                     part(b.average),
                     {}},
                    {one(static_cast<double>(n)), one(rate(n)), {}, {}, one(0.1)}, constants);
      }
    }
    at::set_num_threads(before);
    return run;
  };
  const Run expected = result(SimdLevel::kAvx512, 2, kCount);
  for (const SimdLevel level : {SimdLevel::kBaseline, SimdLevel::kAvx2, SimdLevel::kAvx512}) {
    for (const int threads : {1, 2}) {
      for (const int64_t cut : {int64_t{0}, int64_t{1}, int64_t{33333}}) {
        CAPTURE(static_cast<int>(level), threads, cut);
        const Run run = result(level, threads, cut);
        REQUIRE(same_bits(run.weight.values(), expected.weight.values()));
        REQUIRE(same_bits(run.exp_avg, expected.exp_avg));
        REQUIRE(same_bits(run.exp_avg_sq, expected.exp_avg_sq));
        REQUIRE(same_bits(run.average, expected.average));
      }
    }
  }
}

TEST_CASE("random words are the blocks of base/philox.h on every vector width", "[ops]") {
  const SimdScope simd(GENERATE(SimdLevel::kBaseline, SimdLevel::kAvx2, SimdLevel::kAvx512));
  namespace cpu = kernels::cpu;
  constexpr std::uint64_t kKey = 0x123456789ABCDEF0U, kSample = 0xFEDCBA9876543210U;
  constexpr std::uint32_t kFirst = 0xFFFFFFE8U, kEpoch = 77;  // the counter runs over
  std::uint32_t words[3 * cpu::kPhiloxBatchWords];
  cpu::random_words({kKey, kSample, kEpoch}, kFirst, 3, words);
  for (std::uint32_t block = 0; block < 3 * cpu::kPhiloxBatch; ++block) {
    const PhiloxBlock expected = philox4x32(kKey, kFirst + block, kSample, kEpoch);
    for (std::uint32_t w = 0; w < 4; ++w) REQUIRE(words[4 * block + w] == expected.word[w]);
  }
}

TEST_CASE("sum_squares adds in float64, with the same bits on every width and thread", "[ops]") {
  const at::ScalarType dtype = GENERATE(at::kFloat, at::kBFloat16);
  const at::Tensor large = draw(300007, 8).to(dtype), small = draw(3, 9).to(dtype);
  const at::Tensor exact =
      large.to(at::kDouble).square().sum() + small.to(at::kDouble).square().sum();
  const at::Tensor sum = ops::sum_squares({large, small, large.narrow(0, 0, 0)});
  REQUIRE(sum.scalar_type() == at::kDouble);
  REQUIRE(sum.item<double>() == Approx(exact.item<double>()).epsilon(1e-13));
  for (const SimdLevel level : {SimdLevel::kBaseline, SimdLevel::kAvx2}) {
    const SimdScope simd(level);
    REQUIRE(at::equal(ops::sum_squares({large, small}), sum));
  }
  REQUIRE(ops::sum_squares({large.narrow(0, 0, 0)}).item<double>() == 0);
  REQUIRE_THROWS_AS(ops::sum_squares({large.to(at::kDouble)}), Error);
}

TEST_CASE("adamw_ names the buffer that does not fit", "[ops]") {
  const at::Tensor start = draw(8, 10);
  const auto failing = [&](const std::function<void(Run&)>& change) {
    Run run(start, Weights::kPair, at::kFloat, at::kFloat);
    change(run);
    run.steps(1);
  };
  REQUIRE_THROWS_WITH(failing([](Run& r) { r.exp_avg = at::zeros({7}); }),
                      Catch::Contains("exp_avg does not fit"));
  REQUIRE_THROWS_WITH(failing([](Run& r) { r.exp_avg_sq = r.exp_avg_sq.to(at::kBFloat16); }),
                      Catch::Contains("exp_avg_sq does not fit"));
  REQUIRE_THROWS_WITH(failing([](Run& r) { r.weight.stored = at::zeros({8}); }),
                      Catch::Contains("remainder does not fit"));
  REQUIRE_THROWS_WITH(failing([](Run& r) { r.copy = at::zeros({8}, at::kBFloat16); }),
                      Catch::Contains("copy does not fit"));
  REQUIRE_THROWS_WITH(failing([](Run& r) { r.constants.first_element = int64_t{1} << 35; }),
                      Catch::Contains("at most 2^35 elements"));
}

TEST_CASE("adamw_ on a GPU gives the CPU's bits", "[cuda]") {
  if (!testing::has_cuda()) TITAN_SKIP("no CUDA device, or libtitan_cuda.so is not loaded");
  const Weights weights = GENERATE(Weights::kFloat32, Weights::kPair, Weights::kStochastic);
  const at::ScalarType state = GENERATE(at::kFloat, at::kBFloat16);
  const at::ScalarType gradients = GENERATE(at::kFloat, at::kBFloat16);
  const int64_t offset = GENERATE(0, 3);  // wide accesses, or none
  const at::Tensor start = draw(40003, 11);
  Run host(start, weights, state, gradients, offset);
  host.average = start.clone();
  Run device = host;
  const auto to_gpu = [&](const at::Tensor& t) {
    if (!t.defined()) return t;
    const at::Tensor all = at::zeros({t.numel() + 16}, t.options().device(at::kCUDA));
    return all.narrow(0, offset, t.numel()).copy_(t);
  };
  for (at::Tensor* t : {&device.weight.stored, &device.weight.remainder, &device.grad,
                        &device.exp_avg, &device.exp_avg_sq, &device.average})
    *t = to_gpu(*t);
  for (int64_t n = 1; n <= 20; ++n) {
    host.step(n, gradient(start.numel(), n));
    device.grad.copy_(host.grad);
    ops::adamw_(device.buffers(),
                {one(static_cast<double>(n)).cuda(), one(rate(n)).cuda(), one(kClip).cuda(),
                 one(0).cuda(), one(0.01).cuda()},
                device.constants);
  }
  const auto share_of_different = [](const at::Tensor& a, const at::Tensor& b) {
    return a.ne(b.cpu()).to(at::kDouble).mean().item<double>();
  };
  // The powers of beta may round another way in their last bit of 53.
  REQUIRE(share_of_different(host.exp_avg, device.exp_avg) == 0);
  REQUIRE(share_of_different(host.exp_avg_sq, device.exp_avg_sq) == 0);
  REQUIRE(share_of_different(host.weight.values(), device.weight.values()) < 1e-3);
  REQUIRE(largest(host.average - device.average.cpu()) < 1e-5);
  const double exact = host.grad.to(at::kDouble).square().sum().item<double>();
  REQUIRE(ops::sum_squares({device.grad, device.grad}).item<double>() ==
          Approx(2 * exact).epsilon(1e-12));
}

}  // namespace titan
