#include "titan/ops/kept.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>

#include "titan/base/check.h"

namespace titan::ops {
namespace {

using torch::autograd::SavedVariable;
using torch::autograd::variable_list;

struct Context {
  KeptResults* block = nullptr;
  bool again = false;
};
Context& context() {
  thread_local Context context;
  return context;
}

/// The node of an operation whose result was taken instead of computed.
class KeptNode : public torch::autograd::Node {
 public:
  KeptNode(const Keepable& op, const TensorList& inputs, TensorList results)
      : derivative_(op.derivative), results_(std::move(results)) {
    set_next_edges(torch::autograd::collect_next_edges(inputs));
    inputs_.reserve(inputs.size());
    for (const at::Tensor& input : inputs) inputs_.emplace_back(input, /*is_output=*/false);
  }

  variable_list apply(variable_list&& grads) override {
    if (!grads[0].defined()) return variable_list(inputs_.size());
    KeptCall call{.inputs = {}, .results = results_, .grad = grads[0], .wanted = {}};
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      call.inputs.push_back(inputs_[i].unpack());
      call.wanted.push_back(task_should_compute_output(i));
    }
    return derivative_(call);
  }
  void release_variables() override {
    for (SavedVariable& input : inputs_) input.reset_data();
    results_.clear();
  }
  std::string name() const override { return "KeptResult"; }

 private:
  TensorList (*derivative_)(const KeptCall& call);
  std::vector<SavedVariable> inputs_;
  TensorList results_;
};

/// The value of a taken operation, with its node.
at::Tensor recorded(const Keepable& op, const TensorList& inputs, TensorList results) {
  at::Tensor value = results.front().variable_data();  // the same storage, no history
  const bool needed = at::GradMode::is_enabled() &&
                      std::any_of(inputs.begin(), inputs.end(), [](const at::Tensor& t) {
                        return t.defined() && t.requires_grad();
                      });
  if (!needed) return value;
  if (op.num_results == 1) results.clear();
  const std::shared_ptr<KeptNode> node(new KeptNode(op, inputs, std::move(results)),
                                       torch::autograd::deleteNode);
  torch::autograd::set_history(value, node);
  return value;
}

}  // namespace

KeptResults* kept_results() { return context().block; }
bool recomputing() { return context().again; }

KeptScope::KeptScope(KeptResults& block, bool again) {
  TITAN_CHECK(context().block == nullptr, "[recompute] a recomputed block runs inside another");
  context() = {&block, again};
}
KeptScope::~KeptScope() { context() = {}; }

KeptPause::KeptPause() : block_(context().block), again_(context().again) { context() = {}; }
KeptPause::~KeptPause() { context() = {block_, again_}; }

bool KeptResults::chooses(const char* tag) {
  if (std::strcmp(tag, kMatmulTag) == 0)
    return policy_.matmul_every > 0 && matmuls_++ % policy_.matmul_every == 0;
  return std::find(policy_.tags.begin(), policy_.tags.end(), tag) != policy_.tags.end();
}

at::Tensor KeptResults::first_pass(const Keepable& op, const TensorList& results) {
  Offer offer{.tag = op.tag};
  const at::Tensor& value = results.front();
  if (chooses(op.tag) && results.size() >= op.num_results) {
    offer.kept = results;
    offer.version = value._version();
  } else if (policy_.outputs && op.num_results == 1) {
    offer.maybe_output.emplace(value.getIntrusivePtr());
  }
  offers_.push_back(std::move(offer));
  return value;
}

at::Tensor KeptResults::run(const Keepable& op, const std::function<TensorList()>& work,
                            TensorList inputs) {
  if (!again_) return first_pass(op, work());
  TITAN_CHECK(taken_ < offers_.size() && std::strcmp(offers_[taken_].tag, op.tag) == 0,
              "[recompute] a block ran other operations in its recompute than at first (operation ",
              taken_, " is ", op.tag, ", was ",
              taken_ < offers_.size() ? offers_[taken_].tag : "none", ")");
  const Offer offer = std::move(offers_[taken_++]);
  if (offer.kept.empty()) return work().front();
  TITAN_CHECK(offer.kept.front()._version() == offer.version,
              "[recompute] a kept result was changed in place after the block's first pass (",
              op.tag, ")");
  return recorded(op, inputs, offer.kept);
}

void KeptResults::end_first_pass(const TensorList& outputs) {
  again_ = true;
  for (Offer& offer : offers_) {
    if (!offer.maybe_output.has_value()) continue;
    for (const at::Tensor& output : outputs) {
      // The weak reference keeps the address from being used again, so equal means the same.
      if (offer.maybe_output->_unsafe_get_target() != output.unsafeGetTensorImpl()) continue;
      offer.kept = {output};
      offer.version = output._version();
      break;
    }
    offer.maybe_output.reset();
  }
}

void KeptResults::end_recompute() const {
  TITAN_CHECK(taken_ == offers_.size(),
              "[recompute] a block ran fewer operations in its recompute (", taken_,
              ") than at first (", offers_.size(), ")");
}

}  // namespace titan::ops
