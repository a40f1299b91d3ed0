// kept.h: the context in which a recomputed block runs its operations. An operation that is worth
// keeping wraps its work in one call, kept(op, work, inputs...): in the block's first pass (nothing
// recorded) the chosen results are stored; in the recompute they are taken instead of computed, and
// the node of the graph is recorded as usual.
#pragma once

#include <functional>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/UndefinedTensorImpl.h>

#include "titan/ops/keep_policy.h"

namespace titan::ops {

using TensorList = std::vector<at::Tensor>;

/// What a derivative is computed from.
struct KeptCall {
  TensorList inputs;         ///< undefined where they were
  TensorList results;        ///< empty for an operation of one result
  at::Tensor grad;           ///< of the first result, defined
  std::vector<bool> wanted;  ///< for each input: whether its gradient is asked for
};

/// An operation whose results can be kept. Results: the value, then what only the derivative needs.
struct Keepable {
  const char* tag;          ///< as KeepPolicy names it
  std::size_t num_results;  ///< a call that gives fewer is computed again
  /// Gradients of the inputs, bit by bit those that the operation itself would give; undefined
  /// where not wanted. Where num_results is 1 it must do without the result.
  TensorList (*derivative)(const KeptCall& call);
};

/// Results of one block, from its first pass to its recompute.
class KeptResults {
 public:
  explicit KeptResults(KeepPolicy policy) : policy_(std::move(policy)) {}

  /// One operation of the block: see kept().
  at::Tensor run(const Keepable& op, const std::function<TensorList()>& work, TensorList inputs);

  /// Between the passes: what the block handed on is kept as well, if the policy says so; from now
  /// on results are taken.
  void end_first_pass(const TensorList& outputs);
  /// Throws titan::Error if the recompute ran fewer operations than the first pass.
  void end_recompute() const;

 private:
  using WeakResult = c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>;
  /// One operation, in program order.
  struct Offer {
    const char* tag = nullptr;
    TensorList kept = {};                         ///< empty: computed again
    std::optional<WeakResult> maybe_output = {};  ///< one result, not kept unless handed on
    int64_t version = 0;                          ///< of the value when it was stored
  };
  bool chooses(const char* tag);
  at::Tensor first_pass(const Keepable& op, const TensorList& results);

  KeepPolicy policy_;
  std::vector<Offer> offers_;
  int64_t matmuls_ = 0;
  std::size_t taken_ = 0;
  bool again_ = false;
};

/// While alive, operations on this thread belong to `block`. Not nested.
class KeptScope {
 public:
  KeptScope(KeptResults& block, bool again);
  ~KeptScope();
  KeptScope(const KeptScope&) = delete;
  KeptScope& operator=(const KeptScope&) = delete;
};

/// While alive, operations on this thread belong to no block.
class KeptPause {
 public:
  KeptPause();
  ~KeptPause();
  KeptPause(const KeptPause&) = delete;
  KeptPause& operator=(const KeptPause&) = delete;

 private:
  KeptResults* block_;
  bool again_;
};

/// The block that operations on this thread belong to; null where nothing is recomputed.
KeptResults* kept_results();
/// Whether this thread is inside a recompute: what it does was done before.
bool recomputing();

namespace detail {
inline at::Tensor value_of(const at::Tensor& result) { return result; }
template <class... Rest>
at::Tensor value_of(const std::tuple<at::Tensor, Rest...>& results) {
  return std::get<0>(results);
}
inline at::Tensor value_of(const TensorList& results) { return results.front(); }
inline TensorList as_list(const at::Tensor& result) { return {result}; }
template <class... Tensors>
TensorList as_list(const std::tuple<Tensors...>& results) {
  return std::apply([](const auto&... each) { return TensorList{each...}; }, results);
}
inline TensorList as_list(TensorList results) { return results; }
}  // namespace detail

/// The first result of `work()`, a tensor or a tuple of tensors that carries its own node of the
/// graph. `inputs` are the tensors that op.derivative differentiates by, in its order.
template <class Work, class... Inputs>
at::Tensor kept(const Keepable& op, const Work& work, const Inputs&... inputs) {
  KeptResults* block = kept_results();
  if (block == nullptr) return detail::value_of(work());
  return block->run(op, [&] { return detail::as_list(work()); }, {inputs...});
}

}  // namespace titan::ops
