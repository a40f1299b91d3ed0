// The modulated norm rounded to 8 bits on the way, and its largest numbers, on the emulated GPU:
// the bits of the norm's own kernel followed by what is done with its y.
#include "tests/support/catch.h"

#include <array>
#include <bit>

#include "tests/kernels/float8_testing.h"

namespace titan::kernels {
namespace {

using testing::Array;
using testing::kStorages;
using testing::marked_array;
using testing::random_array;

constexpr StorageType kFloat = StorageType::kFloat32;

std::uint32_t bits_of(float x) { return std::bit_cast<std::uint32_t>(x); }

/// One norm of random numbers, behind a residual or not.
struct NormCase {
  NormProblem p;
  bool residual, affine, modulated;
  Array x, branch, parameters;

  NormCase(const NormProblem& problem, bool residual_in, bool affine_in, bool modulated_in,
           int64_t offset)
      : p(problem),
        residual(residual_in),
        affine(affine_in),
        modulated(modulated_in),
        x(random_array(p.storage, count(), offset)),
        branch(random_array(p.storage, count(), offset)),
        parameters(random_array(p.param_storage, 2 * p.dim + p.batch * kKinds * p.dim, offset)) {}

  static constexpr int64_t kKinds = 3;  // scale, shift, gate: a row of each sample
  int64_t rows() const { return p.batch * p.tokens; }
  int64_t count() const { return rows() * p.dim; }
  NormParameters all() {
    NormParameters to;
    if (affine) to.weight = parameters.data();
    if (affine) to.bias = parameters.data(p.dim);
    const auto kind = [&](int64_t k) {
      return SampleRows{parameters.data((2 + k) * p.dim), kKinds * p.dim};
    };
    if (modulated) to.scale = kind(0);
    if (modulated) to.shift = kind(1);
    if (modulated && residual) to.gate = kind(2);
    return to;
  }
};

/// What a forward writes.
struct NormValues {
  Array h, y, mean, rstd;
  explicit NormValues(const NormCase& one)
      : h(marked_array(one.p.storage, one.count())),
        y(marked_array(one.p.storage, one.count())),
        mean(marked_array(kFloat, one.rows())),
        rstd(marked_array(kFloat, one.rows())) {}
  ModulateNormForward io(NormCase& one) {
    return {.x = one.x.data(),
            .branch = one.residual ? one.branch.data() : nullptr,
            .h = one.residual ? h.data() : nullptr,
            .y = y.data(),
            .mean = mean.floats(),
            .rstd = rstd.floats()};
  }
};

template <class Check>
void for_each_norm(Check&& check) {
  // The first has no whole quads, the second several samples in a tile of 64 rows, the third a
  // sample that ends within a tile and one that goes on in the next.
  for (const auto& [batch, tokens, dim] :
       {std::array<int64_t, 3>{2, 5, 7}, {7, 11, 40}, {2, 35, 72}}) {
    for (const StorageType type : kStorages) {
      for (const StorageType param : kStorages) {
        if (type == kFloat && param != kFloat) continue;
        for (const bool rms : {false, true}) {
          for (const auto& [residual, affine, modulated] : {std::array<bool, 3>{false, false, true},
                                                            {true, true, true},
                                                            {false, true, false}}) {
            const int64_t offset = affine && modulated ? 1 : 0;
            CAPTURE(batch, tokens, dim, static_cast<int>(type), static_cast<int>(param), rms,
                    residual, affine, modulated);
            NormCase one({.batch = batch,
                          .tokens = tokens,
                          .dim = dim,
                          .rms = rms,
                          .storage = type,
                          .param_storage = param},
                         residual, affine, modulated, offset);
            one.x.set(tokens * dim - 1, NAN);  // the last row of the first sample
            check(one);
          }
        }
      }
    }
  }
}

TEST_CASE("the norm's CUDA kernel says how large its rows are, with and without writing them",
          "[kernels]") {
  for_each_norm([](NormCase& one) {
    NormValues values(one), again(one);
    cuda::modulate_norm_forward(one.p, one.all(), values.io(one), nullptr);
    std::vector<float> of_rows(static_cast<std::size_t>(one.rows()), Array::kMark);
    float of_all = Array::kMark;
    ModulateNormForward io = again.io(one);
    io.amax = of_rows.data();
    cuda::modulate_norm_forward(one.p, one.all(), io, nullptr);
    bool same = true;
    for (int64_t i = 0; i < one.count(); ++i) {
      const float a = again.y.at(i), b = values.y.at(i);
      same = same && (bits_of(a) == bits_of(b) || (std::isnan(a) && std::isnan(b)));
    }
    REQUIRE(same);

    NormValues unwritten(one);
    io = unwritten.io(one);
    io.y = nullptr;
    io.amax = &of_all;
    io.amax_of_all = true;
    cuda::modulate_norm_forward(one.p, one.all(), io, nullptr);
    REQUIRE(unwritten.y.at(0) == marked_array(one.p.storage, 1).at(0));
    std::uint32_t most = 0;
    for (int64_t row = 0; row < one.rows(); ++row) {
      std::uint32_t of_row = 0;
      for (int64_t i = 0; i < one.p.dim; ++i)
        of_row = std::max(of_row, bits_of(std::abs(values.y.at(row * one.p.dim + i))));
      REQUIRE(bits_of(of_rows[static_cast<std::size_t>(row)]) == of_row);
      REQUIRE(std::isnan(of_rows[static_cast<std::size_t>(row)]) == (row == one.p.tokens - 1));
      const float a = unwritten.rstd.at(row), b = values.rstd.at(row);
      REQUIRE((bits_of(a) == bits_of(b) || (std::isnan(a) && std::isnan(b))));
      most = std::max(most, of_row);
    }
    REQUIRE(bits_of(of_all) == most);
  });
}

TEST_CASE("the modulated norm is rounded to 8 bits on the way as behind its kernel", "[kernels]") {
  for_each_norm([](NormCase& one) {
    NormValues values(one);
    cuda::modulate_norm_forward(one.p, one.all(), values.io(one), nullptr);
    Float8Source source{.origin = Float8Origin::kNormed,
                        .x = one.residual ? values.h.data() : one.x.data(),
                        .x_stride = one.p.dim,
                        .norm = one.all(),
                        .param_storage = one.p.param_storage,
                        .tokens = one.p.tokens,
                        .mean = one.p.rms ? nullptr : values.mean.floats(),
                        .rstd = values.rstd.floats()};
    testing::check_source(one.rows(), one.p.dim, one.p.storage, source, values.y);

    // With maxima that a forward has taken which does not write y.
    source.has_amax = true;
    std::vector<float> of_rows(static_cast<std::size_t>(one.rows())), of_all(1);
    for (std::vector<float>* amax : {&of_rows, &of_all}) {
      NormValues unwritten(one);
      ModulateNormForward io = unwritten.io(one);
      io.y = nullptr;
      io.amax = amax->data();
      io.amax_of_all = amax == &of_all;
      cuda::modulate_norm_forward(one.p, one.all(), io, nullptr);
    }
    const auto take = [&](const Float8Problem& problem, float* workspace) {
      const std::vector<float>& amax = problem.rowwise ? of_rows : of_all;
      std::copy(amax.begin(), amax.end(), workspace);
    };
    testing::check_source(one.rows(), one.p.dim, one.p.storage, source, values.y, take);
  });
}

}  // namespace
}  // namespace titan::kernels
