#include "titan/kernels/attention.h"

#include <cmath>

#include "titan/kernels/cpu/simd.h"

namespace titan::kernels {
namespace cpu {
namespace {

constexpr int64_t kColumns = 16;  // a multiple of every vector width
constexpr float kLog2E = 1.44269504089F;

constexpr int64_t tiled(int64_t count, int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}
constexpr int64_t wide(int64_t count) { return tiled(count, kColumns); }
/// Off the powers of two, which would share few cache sets.
constexpr int64_t step_of(int64_t keys) { return wide(keys) + kColumns; }

/// How a problem is blocked.
struct Shape {
  static constexpr int64_t kMaxRows = 96;
  /// Scores of one block of rows: a quarter of a megabyte leaves room in the second-level cache for
  /// keys and values.
  static constexpr int64_t kScores = 64 * 1024;
  int64_t wide_dim, wide_keys;
  int64_t key_step;  ///< between rows of scores
  int64_t rows;      ///< of a block: a multiple of the tile's

  Shape(const AttentionProblem& p, int64_t tile_rows)
      : wide_dim(wide(p.head_dim)), wide_keys(wide(p.keys)), key_step(step_of(p.keys)) {
    int64_t most = kScores / wide_keys / 12 * 12;
    most = most > kMaxRows ? kMaxRows : (most < 12 ? 12 : most);
    const int64_t blocks = (p.queries + most - 1) / most;
    rows = blocks > 0 ? tiled((p.queries + blocks - 1) / blocks, tile_rows) : tile_rows;
  }
};

namespace avx512 {
#define TITAN_BODY_TARGET TITAN_TARGET_AVX512
constexpr int kWidth = 16;
constexpr int kTileRows = 6;
constexpr int kPanelVecs = 4;
#include "titan/kernels/cpu/attention_body.inc"
#undef TITAN_BODY_TARGET
}  // namespace avx512

namespace avx2 {
#define TITAN_BODY_TARGET TITAN_TARGET_AVX2
constexpr int kWidth = 8;
constexpr int kTileRows = 6;
constexpr int kPanelVecs = 2;
#include "titan/kernels/cpu/attention_body.inc"
#undef TITAN_BODY_TARGET
}  // namespace avx2

namespace baseline {
#define TITAN_BODY_TARGET
constexpr int kWidth = 4;
constexpr int kTileRows = 4;
constexpr int kPanelVecs = 2;
#include "titan/kernels/cpu/attention_body.inc"
#undef TITAN_BODY_TARGET
}  // namespace baseline

struct ForwardArgs {
  AttentionProblem problem;
  AttentionForward io;
};
struct BackwardArgs {
  AttentionProblem problem;
  AttentionBackward io;
};

template <void (*kHead)(const AttentionProblem&, const AttentionForward&, int64_t)>
void forward_task(const ForwardArgs& args, int64_t task) {
  kHead(args.problem, args.io, task);
}
template <void (*kHead)(const AttentionProblem&, const AttentionBackward&, int64_t)>
void backward_task(const BackwardArgs& args, int64_t task) {
  kHead(args.problem, args.io, task);
}

bool worth_threads(const AttentionProblem& p) {
  return p.batch * p.heads * p.queries * p.keys >= kParallelElements;
}

}  // namespace

void attention_forward(const AttentionProblem& problem, const AttentionForward& io) {
  const ForwardArgs args{problem, io};
  const auto task = simd_level() == SimdLevel::kAvx512 ? forward_task<avx512::forward_head>
                    : simd_level() == SimdLevel::kAvx2 ? forward_task<avx2::forward_head>
                                                       : forward_task<baseline::forward_head>;
  run_tasks(problem.batch * problem.heads, worth_threads(problem), task, args);
}

void attention_backward(const AttentionProblem& problem, const AttentionBackward& io) {
  const BackwardArgs args{problem, io};
  const auto task = simd_level() == SimdLevel::kAvx512 ? backward_task<avx512::backward_head>
                    : simd_level() == SimdLevel::kAvx2 ? backward_task<avx2::backward_head>
                                                       : backward_task<baseline::backward_head>;
  run_tasks(problem.batch * problem.kv_heads, worth_threads(problem), task, args);
}

}  // namespace cpu
}  // namespace titan::kernels
