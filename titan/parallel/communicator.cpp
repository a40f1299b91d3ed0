#include "titan/parallel/communicator.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include "titan/base/check.h"

namespace titan::parallel {
namespace {

c10d::ReduceOp reduce_op(Reduction reduction) {
  switch (reduction) {
    case Reduction::kSum:
      return c10d::ReduceOp::SUM;
    case Reduction::kMax:
      return c10d::ReduceOp::MAX;
    case Reduction::kMin:
      return c10d::ReduceOp::MIN;
  }
  throw Error("[parallel] unknown reduction");
}

std::string describe(const char* operation, const c10d::Backend& backend) {
  return str_cat("[parallel] ", operation, " over ", backend.getSize(), " ranks failed on rank ",
                 backend.getRank());
}

/// c10d and Gloo throw classes of their own, with a stack trace in the text: one class and one line
/// for us.
template <class Function>
auto translate_errors(const std::string& what, Function&& function) {
  try {
    return function();
  } catch (const c10::Error& error) {
    throw Error(str_cat(what, ": ", error.what_without_backtrace()));
  } catch (const std::exception& error) {
    throw Error(str_cat(what, ": ", error.what()));
  }
}

void check_parts(const char* operation, const at::Tensor& whole, const at::Tensor& part,
                 int ranks) {
  TITAN_CHECK(whole.is_contiguous() && part.is_contiguous() &&
                  whole.numel() == part.numel() * ranks &&
                  whole.scalar_type() == part.scalar_type(),
              "[parallel] ", operation, " wants contiguous parts of one dtype and length (",
              whole.numel(), " elements in all, ", part.numel(), " a rank, ", ranks, " ranks)");
}

void copy_unless_same(const at::Tensor& to, const at::Tensor& from) {
  const at::NoGradGuard no_grad;
  if (to.data_ptr() != from.data_ptr()) to.copy_(from);
}

}  // namespace

PendingCollective::PendingCollective(c10::intrusive_ptr<c10d::Work> work, std::string what,
                                     const char* name, std::int64_t bytes)
    : work_(std::move(work)),
      what_(std::move(what)),
      event_{.name = name,
             .lane = TraceEvent::Lane::kCollective,
             .bytes = bytes,
             .begin_ns = Trace::now_ns()} {}

void PendingCollective::wait() {
  if (!work_) return;
  const c10::intrusive_ptr<c10d::Work> work = std::move(work_);
  {
    const TraceSpan span(kTraceWait, /*unit=*/-1, /*bytes=*/0, /*detail=*/event_.name);
    translate_errors(what_, [&] { work->wait(); });
  }
  event_.end_ns = Trace::now_ns();
  if (Trace* const trace = current_trace()) trace->add(event_);
}

Communicator::Communicator(c10::intrusive_ptr<c10d::Backend> backend, at::Device device)
    : backend_(std::move(backend)), device_(device) {}

void Communicator::set_timeout(std::chrono::milliseconds timeout) {
  if (backend_) backend_->setTimeout(timeout);
}

PendingCollective Communicator::all_reduce_async_(const at::Tensor& tensor, Reduction reduction) {
  if (size() == 1 || tensor.numel() == 0) return {};
  TITAN_CHECK(tensor.is_contiguous(), "[parallel] all-reduce needs a contiguous tensor");
  std::vector<at::Tensor> tensors{tensor};
  c10d::AllreduceOptions options;
  options.reduceOp = reduce_op(reduction);
  const std::string what = describe("all-reduce", *backend_);
  return {translate_errors(what, [&] { return backend_->allreduce(tensors, options); }), what,
          "all-reduce", static_cast<std::int64_t>(tensor.nbytes())};
}

void Communicator::all_reduce_(const at::Tensor& tensor, Reduction reduction) {
  all_reduce_async_(tensor, reduction).wait();
}

PendingCollective Communicator::all_gather_async_(const at::Tensor& output,
                                                  const at::Tensor& input) {
  check_parts("all-gather", output, input, size());
  if (size() == 1) {
    copy_unless_same(output, input);
    return {};
  }
  at::Tensor whole = output, part = input;
  const std::string what = describe("all-gather", *backend_);
  return {translate_errors(what, [&] { return backend_->_allgather_base(whole, part); }), what,
          "all-gather", static_cast<std::int64_t>(output.nbytes())};
}

PendingCollective Communicator::reduce_scatter_async_(const at::Tensor& output,
                                                      const at::Tensor& input) {
  check_parts("reduce-scatter", input, output, size());
  if (size() == 1) {
    copy_unless_same(output, input);
    return {};
  }
  at::Tensor whole = input, part = output;
  const std::string what = describe("reduce-scatter", *backend_);
  return {translate_errors(what, [&] { return backend_->_reduce_scatter_base(part, whole); }), what,
          "reduce-scatter", static_cast<std::int64_t>(input.nbytes())};
}

void Communicator::broadcast_(const at::Tensor& tensor, int root) {
  if (size() == 1 || tensor.numel() == 0) return;
  TITAN_CHECK(tensor.is_contiguous(), "[parallel] broadcast needs a contiguous tensor");
  std::vector<at::Tensor> tensors{tensor};
  c10d::BroadcastOptions options;
  options.rootRank = root;
  const std::string what = describe("broadcast", *backend_);
  PendingCollective(translate_errors(what, [&] { return backend_->broadcast(tensors, options); }),
                    what, "broadcast", static_cast<std::int64_t>(tensor.nbytes()))
      .wait();
}

void Communicator::barrier() {
  if (size() == 1) return;
  // An all-reduce whose result is read: on CUDA too the host has then waited, which a barrier's
  // wait() alone does not do.
  all_reduce_values({1.0}, Reduction::kSum);
}

std::vector<double> Communicator::all_reduce_values(const std::vector<double>& values,
                                                    Reduction reduction) {
  if (size() == 1 || values.empty()) return values;
  const at::Tensor tensor = at::tensor(values, at::TensorOptions().dtype(at::kDouble)).to(device_);
  all_reduce_(tensor, reduction);
  const at::Tensor result = tensor.cpu();  // host sync
  const double* data = result.const_data_ptr<double>();
  return {data, data + result.numel()};
}

std::vector<std::string> Communicator::all_gather_text(const std::string& text) {
  if (size() == 1) return {text};
  const auto longest = static_cast<int64_t>(
      all_reduce_values({static_cast<double>(text.size())}, Reduction::kMax)[0]);
  const int64_t width = longest + static_cast<int64_t>(sizeof(int64_t));  // length, then the bytes
  at::Tensor own = at::zeros({width}, at::kByte);
  const auto length = static_cast<int64_t>(text.size());
  std::memcpy(own.mutable_data_ptr<uint8_t>(), &length, sizeof(length));
  std::copy(text.begin(), text.end(), own.mutable_data_ptr<uint8_t>() + sizeof(length));
  own = own.to(device_);
  at::Tensor all = at::empty({size() * width}, own.options());
  all_gather_async_(all, own).wait();
  all = all.cpu();  // host sync

  std::vector<std::string> texts;
  for (int64_t r = 0; r < size(); ++r) {
    const uint8_t* row = all.const_data_ptr<uint8_t>() + r * width;
    int64_t row_length = 0;
    std::memcpy(&row_length, row, sizeof(row_length));
    texts.emplace_back(reinterpret_cast<const char*>(row) + sizeof(row_length), row_length);
  }
  return texts;
}

std::string Communicator::broadcast_text(const std::string& text, int root) {
  return all_gather_text(text)[static_cast<std::size_t>(root)];
}

void Communicator::close() {
  if (backend_) backend_->shutdown();
  backend_.reset();
}

void Communicator::abandon() noexcept { (void)backend_.release(); }

}  // namespace titan::parallel
