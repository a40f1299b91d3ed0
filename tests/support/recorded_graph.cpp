#include "tests/support/catch.h"

#include "tests/support/recorded_graph.h"

#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include <torch/library.h>
#include <torch/torch.h>

#include "titan/base/check.h"

namespace titan::testing {
namespace {

int64_t replays_so_far = 0;
std::string failure_at_end;

// Below autograd, above every backend, and nobody's: torchdistX's fake tensors used it once.
constexpr c10::DispatchKey kKey = c10::DispatchKey::Fake;

/// The same address, shape and strides, whatever becomes of the tensor's storage.
at::Tensor at_address(const at::Tensor& tensor) {
  if (!tensor.defined()) return tensor;
  at::Tensor fixed = at::from_blob(tensor.numel() == 0 ? nullptr : tensor.data_ptr(),
                                   tensor.sizes(), tensor.strides(), tensor.options());
  if (tensor.unsafeGetTensorImpl()->is_wrapped_number())
    fixed.unsafeGetTensorImpl()->set_wrapped_number(true);
  return fixed;
}

/// Calls visit(tensor), which returns what stands there instead, for each tensor of a value.
template <class Visit>
c10::IValue mapped(const c10::IValue& value, const Visit& visit) {
  if (value.isTensor()) return visit(value.toTensor());
  if (value.isTensorList()) {
    c10::List<at::Tensor> list;
    for (const at::Tensor& tensor : value.toTensorVector()) list.push_back(visit(tensor));
    return list;
  }
  if (value.isOptionalTensorList()) {
    c10::List<std::optional<at::Tensor>> list;
    for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorVector())
      list.push_back(tensor ? std::optional<at::Tensor>(visit(*tensor)) : std::nullopt);
    return list;
  }
  return value;
}

struct Operation {
  c10::OperatorHandle op;
  std::vector<c10::IValue> inputs, outputs;  ///< at their addresses
};

class Recording : public parallel::DeviceGraph {
 public:
  void capture(const std::function<void()>& work) override;
  void replay() override;
  void add(const c10::OperatorHandle& op, torch::jit::Stack* stack);

  static Recording*& current() {
    static Recording* current = nullptr;  // autograd's CPU work runs on the calling thread
    return current;
  }

 private:
  void keep_storage(const at::Tensor& tensor);
  void put_back();

  std::vector<Operation> operations_;
  std::vector<c10::Storage> alive_;  ///< what the graph's memory is
  /// Bytes as they were of what operations wrote to, by address.
  std::map<void*, std::pair<c10::Storage, std::vector<char>>> before_;
};

void Recording::capture(const std::function<void()>& work) {
  current() = this;
  try {
    const c10::impl::IncludeDispatchKeyGuard recorded(kKey);
    work();
    TITAN_CHECK(failure_at_end.empty(), failure_at_end);
  } catch (...) {
    current() = nullptr;
    put_back();
    operations_.clear();
    throw;
  }
  current() = nullptr;
  put_back();
}

void Recording::keep_storage(const at::Tensor& tensor) {
  if (!tensor.defined() || tensor.numel() == 0) return;
  const c10::Storage& storage = tensor.storage();
  void* const address = storage.mutable_data();
  if (before_.count(address) > 0) return;
  const char* const bytes = static_cast<const char*>(address);
  before_.emplace(address, std::pair(storage, std::vector<char>(bytes, bytes + storage.nbytes())));
}

void Recording::put_back() {
  for (const auto& [address, kept] : before_)
    std::memcpy(address, kept.second.data(), kept.second.size());
  before_.clear();
}

void Recording::add(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const c10::FunctionSchema& schema = op.schema();
  TITAN_CHECK(schema.name() != "aten::_local_scalar_dense" && schema.name() != "aten::nonzero",
              "[recording] the host reads a result of the device (", schema.name(), ")");
  const auto hold = [&](const at::Tensor& tensor) {
    if (tensor.defined() && tensor.has_storage()) alive_.push_back(tensor.storage());
    return at_address(tensor);
  };
  const std::size_t arguments = schema.arguments().size();
  Operation operation{op, {}, {}};
  for (std::size_t i = 0; i < arguments; ++i) {
    const c10::IValue& value = (*stack)[stack->size() - arguments + i];
    const auto* const alias = schema.arguments()[i].alias_info();
    if (alias != nullptr && alias->isWrite()) {
      mapped(value, [&](const at::Tensor& tensor) {
        keep_storage(tensor);
        return tensor;
      });
    }
    operation.inputs.push_back(mapped(value, hold));
  }
  op.callBoxed(stack);
  const std::size_t results = schema.returns().size();
  for (std::size_t i = 0; i < results; ++i)
    operation.outputs.push_back(mapped((*stack)[stack->size() - results + i], hold));
  operations_.push_back(std::move(operation));
}

/// Writes what came out where it came out in the recording.
void settle(const at::Tensor& recorded, const at::Tensor& now) {
  if (!recorded.defined() || recorded.numel() == 0) return;
  TITAN_CHECK(now.defined() && now.sizes() == recorded.sizes() &&
                  now.scalar_type() == recorded.scalar_type(),
              "[recording] an operation gave another shape");
  if (now.data_ptr() != recorded.data_ptr()) recorded.copy_(now);
}

std::vector<at::Tensor> tensors_of(const c10::IValue& value) {
  std::vector<at::Tensor> all;
  mapped(value, [&](const at::Tensor& tensor) {
    all.push_back(tensor);
    return tensor;
  });
  return all;
}

void Recording::replay() {
  ++replays_so_far;
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  for (const Operation& operation : operations_) {
    torch::jit::Stack stack = operation.inputs;
    operation.op.callBoxed(&stack);
    for (std::size_t i = 0; i < operation.outputs.size(); ++i) {
      const std::vector<at::Tensor> recorded = tensors_of(operation.outputs[i]),
                                    now = tensors_of(stack[i]);
      for (std::size_t k = 0; k < recorded.size(); ++k) settle(recorded[k], now[k]);
    }
  }
}

void record(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const c10::impl::ExcludeDispatchKeyGuard once(kKey);
  const at::AutoDispatchBelowADInplaceOrView below_autograd;  // that has done its part
  if (Recording::current() == nullptr)
    op.callBoxed(stack);
  else
    Recording::current()->add(op, stack);
}

TORCH_LIBRARY_IMPL(_, Fake, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&record>()); }

class Services : public parallel::DeviceServices {
 public:
  int device_count() const override { return 1; }
  std::string name(int) const override { return "recorded"; }
  void set_device(int) override {}
  void synchronize(int) override {}
  memory::MemoryStats memory_stats(int) const override { return {}; }
  void reset_memory_peak(int) override {}
  std::unique_ptr<parallel::DeviceEvent> make_event() override { return nullptr; }
  std::unique_ptr<parallel::DeviceGraph> make_graph(int) override { return make_recorded_graph(); }
  void record_memory_history(bool) override {}
  std::string memory_snapshot() const override { return {}; }
};

}  // namespace

std::unique_ptr<parallel::DeviceGraph> make_recorded_graph() {
  return std::make_unique<Recording>();
}

RecordingServices::RecordingServices(const std::string& failure) {
  failure_at_end = failure;
  parallel::register_device_services(std::make_unique<Services>());
  replays_so_far = 0;
}
RecordingServices::~RecordingServices() {
  parallel::register_device_services(nullptr);
  failure_at_end.clear();
}
int64_t RecordingServices::replays() const { return replays_so_far; }

}  // namespace titan::testing
