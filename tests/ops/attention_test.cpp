#include <chrono>
#include <thread>

#include "tests/support/catch.h"

#include "titan/ops/attention.h"

#include "titan/metrics/flops.h"
#include "titan/ops/attention_backend.h"
#include "titan/ops/gradient_layout.h"

#include "tests/ops/op_testing.h"

namespace titan {
namespace {

using testing::randn;
using testing::Tensors;

struct Shape {
  int64_t batch, queries, keys, heads, kv_heads, head_dim;
};

TEST_CASE("attention agrees with float64, forward and backward", "[ops]") {
  at::manual_seed(1);
  const auto op = [](const Tensors& in) -> Tensors {
    return {ops::attention(in[0], in[1], in[2])};
  };
  // One query, one key, sizes that fill no tile and no panel, several blocks of rows, grouped
  // queries, other than 16-fold head widths, widths of one panel and more.
  for (const Shape& s :
       {Shape{1, 1, 2, 1, 1, 4}, Shape{1, 3, 1, 2, 1, 8}, Shape{2, 17, 17, 3, 3, 12},
        Shape{1, 70, 70, 2, 2, 48}, Shape{2, 33, 33, 4, 2, 16}, Shape{1, 200, 200, 2, 1, 64},
        Shape{1, 9, 40, 2, 2, 20}, Shape{1, 77, 77, 2, 2, 64}, Shape{1, 130, 97, 2, 1, 128},
        Shape{1, 20, 1030, 1, 1, 24}, Shape{1, 40, 65, 6, 2, 80}}) {
    const Tensors inputs = {randn({s.batch, s.queries, s.heads, s.head_dim}) * 2,
                            randn({s.batch, s.keys, s.kv_heads, s.head_dim}) * 2,
                            randn({s.batch, s.keys, s.kv_heads, s.head_dim})};
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      CAPTURE(s.batch, s.queries, s.keys, s.heads, s.kv_heads, s.head_dim, c10::toString(dtype));
      // bfloat16: LibTorch's kernel rounds the probabilities too.
      REQUIRE(testing::worst_difference(op, inputs, dtype) < (dtype == at::kFloat ? 1e-5 : 4e-2));
    }
  }
}

TEST_CASE("attention at every vector width agrees with float64", "[ops]") {
  at::manual_seed(2);
  const auto op = [](const Tensors& in) -> Tensors {
    return {ops::attention(in[0], in[1], in[2])};
  };
  for (const Shape& s : {Shape{2, 75, 75, 4, 2, 20}, Shape{1, 7, 77, 2, 2, 64},
                         Shape{1, 100, 131, 2, 2, 128}, Shape{1, 13, 5, 1, 1, 8}}) {
    const Tensors inputs = {randn({s.batch, s.queries, s.heads, s.head_dim}),
                            randn({s.batch, s.keys, s.kv_heads, s.head_dim}),
                            randn({s.batch, s.keys, s.kv_heads, s.head_dim})};
    for (const auto level : {kernels::cpu::SimdLevel::kBaseline, kernels::cpu::SimdLevel::kAvx2,
                             kernels::cpu::SimdLevel::kAvx512}) {
      CAPTURE(s.queries, s.keys, s.head_dim, static_cast<int>(level));
      const testing::SimdScope scope(level);
      REQUIRE(testing::worst_difference(op, inputs, at::kFloat) < 1e-5);
    }
  }
}

TEST_CASE("attention gives the same bits on one thread and two, and again", "[ops]") {
  at::manual_seed(4);
  const auto op = [](const Tensors& in) -> Tensors {
    return {ops::attention(in[0], in[1], in[2])};
  };
  const Tensors inputs = {randn({2, 150, 4, 64}), randn({2, 150, 2, 64}), randn({2, 150, 2, 64})};
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const Tensors one = testing::run_op(op, inputs, at::kFloat);
  at::set_num_threads(2);
  const Tensors two = testing::run_op(op, inputs, at::kFloat);
  const Tensors again = testing::run_op(op, inputs, at::kFloat);
  at::set_num_threads(threads);
  for (std::size_t i = 0; i < one.size(); ++i) {
    CAPTURE(i);
    REQUIRE(at::equal(one[i], two[i]));
    REQUIRE(at::equal(two[i], again[i]));
  }
}

TEST_CASE("attention's backward makes the scores again, which counts as recompute", "[ops]") {
  const at::Tensor x = at::randn({1, 64, 2, 32}).requires_grad_(true);
  const at::Tensor out = ops::attention(x, x, x);
  const metrics::FlopCounter counter;
  out.sum().backward();
  const int64_t product = 2 * 2 * 64 * 64 * 32;
  REQUIRE(counter.counted().model == 4 * product);
  REQUIRE(counter.counted().recompute == product);
}

TEST_CASE("attention on shapes alone gives what the CPU gives", "[ops]") {
  const at::Tensor q = at::randn({2, 13, 4, 20}), k = at::randn({2, 30, 2, 20});
  using Forward =
      std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, const at::Tensor&, const at::Tensor&);
  const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("titan::attention", "").typed<Forward>();
  const auto [out, sums] = op.call(q, k, k);
  const at::Tensor no_q = q.to(at::kMeta), no_k = k.to(at::kMeta);
  const auto [no_out, no_sums] = op.call(no_q, no_k, no_k);
  REQUIRE(no_out.sizes() == out.sizes());
  REQUIRE(no_sums.sizes() == sums.sizes());
}

TEST_CASE("attention takes the gradient of columns where they lie", "[ops]") {
  at::manual_seed(7);
  const at::Tensor x = at::randn({2, 37, 3, 16}).requires_grad_(true);
  const at::Tensor wide = at::randn({2, 37, 100});
  const at::Tensor columns = wide.narrow(2, 20, 48).unflatten(2, {3, 16});
  REQUIRE_FALSE(columns.is_contiguous());
  const auto gradient = [&](const at::Tensor& grad) {
    return torch::autograd::grad({ops::attention(x, x, x)}, {x}, {grad})[0];
  };
  REQUIRE(at::equal(gradient(columns), gradient(columns.contiguous())));
  const at::Tensor turned = columns.transpose(2, 3).contiguous().transpose(2, 3);  // not rows
  REQUIRE(at::equal(gradient(turned), gradient(columns.contiguous())));
}

TEST_CASE("attention hands on what is no number", "[ops]") {
  at::manual_seed(5);
  at::Tensor q = at::randn({1, 20, 1, 16});
  const at::Tensor k = at::randn({1, 33, 1, 16}), v = at::randn({1, 33, 1, 16});
  q[0][3][0][5] = NAN;
  const at::Tensor rows = ops::attention(q, k, v).isnan().all(-1).flatten();
  REQUIRE(rows[3].item<bool>());
  REQUIRE(rows.sum().item<int64_t>() == 1);  // no other query
}

TEST_CASE("attention stays finite for scores far apart", "[ops]") {
  at::manual_seed(3);
  at::Tensor q = at::randn({1, 20, 1, 16});
  q = 400 * q / q.norm(2, -1, /*keepdim=*/true);  // of one length, so each is nearest to itself
  const at::Tensor v = at::randn({1, 20, 1, 16});
  const at::Tensor out = ops::attention(q, q, v);
  REQUIRE(out.isfinite().all().item<bool>());
  REQUIRE(at::allclose(out, v, 1e-4, 1e-4));  // each query sees itself alone
}

/// Puts attention.backend = auto back.
struct AttentionScope {
  explicit AttentionScope(ops::AttentionBackend backend) { ops::set_attention_backend(backend); }
  ~AttentionScope() { ops::set_attention_backend(ops::AttentionBackend::kAuto); }
};

using ops::AttentionBackend;
using ops::AttentionKernel;
using Kernels = std::vector<AttentionKernel>;

TEST_CASE("every attention.backend of the CPU agrees with float64", "[ops]") {
  at::manual_seed(4);
  const auto op = [](const Tensors& in) -> Tensors {
    return {ops::attention(in[0], in[1], in[2])};
  };
  const Tensors inputs = {randn({2, 33, 4, 16}), randn({2, 20, 2, 16}), randn({2, 20, 2, 16})};
  at::Tensor math, flash;
  for (const auto asked :
       {AttentionBackend::kAuto, AttentionBackend::kFlash, AttentionBackend::kMath}) {
    const AttentionScope scope(asked);
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      CAPTURE(static_cast<int>(asked), c10::toString(dtype));
      REQUIRE(testing::worst_difference(op, inputs, dtype) < (dtype == at::kFloat ? 1e-5 : 4e-2));
    }
    const at::Tensor out =
        op({inputs[0].to(at::kFloat), inputs[1].to(at::kFloat), inputs[2].to(at::kFloat)})[0];
    (asked == AttentionBackend::kMath ? math : flash) = out;
  }
  REQUIRE_FALSE(at::equal(math, flash));  // the setting reaches the kernels
}

TEST_CASE("attention.backend is chosen by name and unknown names are refused", "[ops]") {
  const AttentionScope put_back(AttentionBackend::kAuto);
  for (const auto& [name, backend] :
       {std::pair{"flash", AttentionBackend::kFlash}, std::pair{"math", AttentionBackend::kMath},
        std::pair{"auto", AttentionBackend::kAuto}}) {
    REQUIRE(ops::set_attention_backend(name, c10::DeviceType::CPU).ok());
    REQUIRE(ops::attention_backend() == backend);
  }
  REQUIRE_THAT(message_of(ops::set_attention_backend("fast", c10::DeviceType::CPU)),
               Catch::Contains("attention.backend=fast"));
  REQUIRE_THAT(message_of(ops::set_attention_backend("cudnn", c10::DeviceType::CPU)),
               Catch::Contains("needs a GPU"));
  REQUIRE(ops::attention_backend() == AttentionBackend::kAuto);
}

TEST_CASE("a measured kernel is taken only where it is clearly faster", "[ops]") {
  const double cannot = NAN;
  REQUIRE(ops::detail::pick_kernel({1.0}, 1.25) == 0);
  REQUIRE(ops::detail::pick_kernel({1.0, 0.9}, 1.25) == 0);
  REQUIRE(ops::detail::pick_kernel({1.0, 0.7}, 1.25) == 1);
  REQUIRE(ops::detail::pick_kernel({1.0, 0.79, 0.7}, 1.25) == 2);
  REQUIRE(ops::detail::pick_kernel({1.0, 0.6, 0.7}, 1.25) == 1);
  REQUIRE(ops::detail::pick_kernel({1.0, cannot}, 1.25) == 0);
  REQUIRE(ops::detail::pick_kernel({cannot, 5.0}, 1.25) == 1);
  REQUIRE(ops::detail::pick_kernel({cannot, cannot}, 1.25) == 0);
}

/// Stands for an attention: scales its input and counts.
struct CountedAttention {
  std::vector<AttentionKernel> runs;
  AttentionKernel slow = AttentionKernel::kOwn;
  at::Tensor operator()(AttentionKernel kernel, const at::Tensor& q, const at::Tensor& k,
                        const at::Tensor& v) {
    runs.push_back(kernel);
    REQUIRE(q.requires_grad());
    if (kernel == slow) std::this_thread::sleep_for(std::chrono::milliseconds(60));
    return q + k + v;
  }
};

TEST_CASE("auto measures a large problem once and keeps the fastest for that shape", "[ops]") {
  const AttentionScope fresh(AttentionBackend::kAuto);
  const at::Tensor x = at::zeros({1, 2048, 2, 64});  // 2^29 products
  CountedAttention counted;
  const ops::RunAttention run = std::ref(counted);
  REQUIRE(ops::attention_kernel_for(x, x, x, /*training=*/true, run) == AttentionKernel::kLibtorch);
  const std::size_t measured = counted.runs.size();
  REQUIRE(std::count(counted.runs.begin(), counted.runs.end(), AttentionKernel::kOwn) ==
          static_cast<std::ptrdiff_t>(measured / 2));
  counted.slow = AttentionKernel::kLibtorch;
  REQUIRE(ops::attention_kernel_for(x, x, x, true, run) == AttentionKernel::kLibtorch);
  REQUIRE(counted.runs.size() == measured);  // chosen once
  const at::Tensor wider = at::zeros({2, 2048, 2, 64});
  REQUIRE(ops::attention_kernel_for(wider, wider, wider, true, run) == AttentionKernel::kOwn);
  REQUIRE(counted.runs.size() == 2 * measured);
}

TEST_CASE("auto does not measure what is small, given, or must be deterministic", "[ops]") {
  const AttentionScope fresh(AttentionBackend::kAuto);
  CountedAttention counted;
  const ops::RunAttention run = std::ref(counted);
  const at::Tensor small = at::zeros({1, 64, 2, 64}), large = at::zeros({1, 2048, 2, 64});
  REQUIRE(ops::attention_kernel_for(small, small, small, true, run) == AttentionKernel::kOwn);
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
  const AttentionKernel deterministic = ops::attention_kernel_for(large, large, large, true, run);
  at::globalContext().setDeterministicAlgorithms(false, /*warn_only=*/false);
  REQUIRE(deterministic == AttentionKernel::kOwn);
  const AttentionScope flash(AttentionBackend::kFlash);
  REQUIRE(ops::attention_kernel_for(large, large, large, true, run) == AttentionKernel::kOwn);
  REQUIRE(counted.runs.empty());
}

TEST_CASE("a kernel that cannot run is not chosen", "[ops]") {
  const AttentionScope fresh(AttentionBackend::kAuto);
  const at::Tensor x = at::zeros({1, 2048, 2, 64});
  const auto refuse = [](AttentionKernel kernel, const at::Tensor& q, const at::Tensor&,
                         const at::Tensor&) {
    TITAN_CHECK(kernel != AttentionKernel::kOwn, "not on this machine");
    return q.clone();
  };
  REQUIRE(ops::attention_kernel_for(x, x, x, /*training=*/false, refuse) ==
          AttentionKernel::kLibtorch);
}

TEST_CASE("measuring is seen by no graph and changes no number", "[ops]") {
  at::manual_seed(5);
  const at::Tensor q = at::randn({1, 1500, 2, 64}).requires_grad_(true);
  const at::Tensor k = at::randn({1, 1500, 2, 64}), v = at::randn({1, 1500, 2, 64});
  const AttentionScope measured(AttentionBackend::kAuto);
  const at::Tensor first = ops::attention(q, k, v);
  const at::Tensor second = ops::attention(q, k, v);
  REQUIRE(at::equal(first, second));
  REQUIRE_FALSE(q.grad().defined());
  first.sum().backward();
  REQUIRE(q.grad().isfinite().all().item<bool>());
}

TEST_CASE("candidates follow device, dtype and shape", "[ops]") {
  const at::Tensor half = at::zeros({1, 4, 2, 64}, at::kBFloat16), single = half.to(at::kFloat);
  using ops::detail::candidates;
  REQUIRE((candidates(AttentionBackend::kAuto, single, single, false) ==
           Kernels{AttentionKernel::kOwn, AttentionKernel::kLibtorch}));
  REQUIRE((candidates(AttentionBackend::kAuto, half, half, false) ==
           Kernels{AttentionKernel::kLibtorch}));
  REQUIRE(
      (candidates(AttentionBackend::kMath, half, half, false) == Kernels{AttentionKernel::kMath}));
}

TEST_CASE("a gradient that is part of a wider tensor arrives with the layout of what it is of",
          "[ops]") {
  for (const bool kept : {false, true}) {
    const at::Tensor x = randn({2, 5, 3, 4}).requires_grad_(true), beside = randn({2, 5, 7});
    at::Tensor inner = x.transpose(1, 2) * 2;  // as LibTorch's attention gives it
    std::vector<int64_t> strides;
    inner.register_hook([&](const at::Tensor& grad) { strides = grad.strides().vec(); });
    const at::Tensor out = kept ? ops::keep_gradient_layout(inner) : inner;
    const at::Tensor wide = at::cat({out.transpose(1, 2).flatten(2), beside}, 2);
    const at::Tensor weight = randn(wide.sizes());
    (wide * weight).sum().backward();
    CHECK((strides == inner.strides().vec()) == kept);
    CHECK(at::equal(x.grad(), weight.narrow(2, 0, 12).reshape({2, 5, 3, 4}) * 2));
  }
  const at::NoGradGuard none;
  const at::Tensor x = randn({2, 3});
  CHECK(ops::keep_gradient_layout(x).is_same(x));
}

TEST_CASE("every attention.backend of a GPU agrees with float64, without copies", "[cuda]") {
  if (!testing::has_cuda()) TITAN_SKIP("no CUDA device, or libtitan_cuda.so is not loaded");
  at::manual_seed(6);
  const auto op = [](const Tensors& in) -> Tensors {
    return {ops::attention(in[0], in[1], in[2])};
  };
  for (const Shape& s : {Shape{2, 128, 128, 4, 4, 64}, Shape{1, 512, 512, 3, 3, 128},
                         Shape{2, 70, 33, 2, 2, 64}, Shape{1, 96, 96, 4, 2, 64}}) {
    const Tensors inputs = {randn({s.batch, s.queries, s.heads, s.head_dim}).cuda(),
                            randn({s.batch, s.keys, s.kv_heads, s.head_dim}).cuda(),
                            randn({s.batch, s.keys, s.kv_heads, s.head_dim}).cuda()};
    for (const auto asked : {AttentionBackend::kAuto, AttentionBackend::kFlash,
                             AttentionBackend::kCudnn, AttentionBackend::kMath}) {
      const AttentionScope scope(asked);
      CAPTURE(static_cast<int>(asked), s.queries, s.keys, s.kv_heads, s.head_dim);
      REQUIRE(testing::worst_difference(op, inputs, at::kBFloat16) < 4e-2);
      REQUIRE(op({inputs[0].to(at::kBFloat16), inputs[1].to(at::kBFloat16),
                  inputs[2].to(at::kBFloat16)})[0]
                  .is_contiguous());
    }
  }
}

TEST_CASE("a GPU's attention takes gradients of any layout, whichever came first", "[cuda]") {
  if (!testing::has_cuda()) TITAN_SKIP("no CUDA device, or libtitan_cuda.so is not loaded");
  at::manual_seed(7);
  const auto whole = [](const Tensors& in) -> Tensors {
    return {ops::attention(in[0], in[1], in[2]).flatten(2)};
  };
  const auto part = [&](const Tensors& in) -> Tensors {  // as in a single block: beside its MLP
    return {at::cat({whole(in)[0], in[3]}, 2)};
  };
  for (const auto asked : {AttentionBackend::kCudnn, AttentionBackend::kFlash}) {
    const AttentionScope scope(asked);
    for (const bool whole_first : {true, false}) {
      const int64_t tokens = whole_first ? 96 : 160;  // a shape for which there is no plan yet
      const Tensors inputs = {randn({2, tokens, 3, 64}).cuda(), randn({2, tokens, 3, 64}).cuda(),
                              randn({2, tokens, 3, 64}).cuda(), randn({2, tokens, 256}).cuda()};
      const Tensors three(inputs.begin(), inputs.begin() + 3);
      CAPTURE(static_cast<int>(asked), whole_first);
      if (whole_first) CHECK(testing::worst_difference(whole, three, at::kBFloat16) < 4e-2);
      CHECK(testing::worst_difference(part, inputs, at::kBFloat16) < 4e-2);
      if (!whole_first) CHECK(testing::worst_difference(whole, three, at::kBFloat16) < 4e-2);
    }
  }
}

TEST_CASE("a GPU's candidates are cuDNN and flash attention where they serve", "[cuda]") {
  if (!testing::has_cuda()) TITAN_SKIP("no CUDA device, or libtitan_cuda.so is not loaded");
  const at::Tensor half = at::zeros({1, 4, 2, 64}, at::kBFloat16).cuda();
  const at::Tensor grouped = half.narrow(2, 0, 1);
  using ops::detail::candidates;
  REQUIRE((candidates(AttentionBackend::kAuto, half, half, false) ==
           Kernels{AttentionKernel::kCudnn, AttentionKernel::kFlash}));
  REQUIRE(
      (candidates(AttentionBackend::kAuto, half, half, true) == Kernels{AttentionKernel::kFlash}));
  REQUIRE((candidates(AttentionBackend::kCudnn, half, half, false) ==
           Kernels{AttentionKernel::kCudnn}));
  REQUIRE((candidates(AttentionBackend::kCudnn, half, grouped, false) ==
           Kernels{AttentionKernel::kFlash}));
  REQUIRE((candidates(AttentionBackend::kFlash, half.to(at::kFloat), half.to(at::kFloat), false) ==
           Kernels{AttentionKernel::kLibtorch}));
}

TEST_CASE("attention names shapes that do not fit", "[ops]") {
  const at::Tensor q = at::randn({1, 4, 3, 8});
  REQUIRE_THROWS_WITH(ops::attention(q, at::randn({1, 4, 2, 8}), at::randn({1, 4, 2, 8})),
                      Catch::Contains("H_kv dividing H"));
}

}  // namespace
}  // namespace titan
