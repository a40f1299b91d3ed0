#include "titan/ops/attention_backend.h"

#include <cmath>
#include <cstdio>
#include <map>
#include <mutex>
#include <utility>

#include <ATen/Context.h>

#include "titan/base/log.h"
#include "titan/ops/attention_timing.h"
#include "titan/ops/device_kernels.h"

namespace titan::ops {
namespace {

/// All that decides which kernel is the fastest.
using Key = std::vector<int64_t>;
Key key_of(const at::Tensor& q, const at::Tensor& k, bool training) {
  return {static_cast<int64_t>(q.device().type()),
          q.device().index(),
          static_cast<int64_t>(q.scalar_type()),
          q.size(0),
          q.size(1),
          q.size(2),
          q.size(3),
          k.size(1),
          k.size(2),
          training ? 1 : 0};
}

struct Choices {
  std::mutex mutex;
  AttentionBackend asked = AttentionBackend::kAuto;
  std::map<Key, AttentionKernel> by_shape;
};
Choices& choices() {
  static Choices choices;
  return choices;
}

/// Below this many multiplications nothing is measured: a run of a millisecond says little.
constexpr double kWorthMeasuring = 1 << 28;
/// How much faster a later candidate must be. A busy CPU's times vary, and a resumed run must
/// choose what it chose at first; events on a GPU are steady.
constexpr double kClearGainCpu = 2, kClearGainDevice = 1.05;

double products_of(const at::Tensor& q, const at::Tensor& k) {
  return static_cast<double>(q.numel()) * static_cast<double>(k.size(1));
}

std::string text_of(const at::Tensor& q, const at::Tensor& k) {
  return str_cat("B ", q.size(0), ", N ", q.size(1),
                 k.size(1) == q.size(1) ? std::string() : str_cat(", M ", k.size(1)), ", H ",
                 q.size(2), k.size(2) == q.size(2) ? std::string() : str_cat(", H_kv ", k.size(2)),
                 ", D_head ", q.size(3), ", ", c10::toString(q.scalar_type()), " on ",
                 q.device().str());
}

AttentionKernel measure(const std::vector<AttentionKernel>& candidates, const at::Tensor& q,
                        const at::Tensor& k, const at::Tensor& v, bool training,
                        const RunAttention& run) {
  std::string times, refused;
  std::vector<double> seconds;
  for (const TimedKernel& one : time_kernels(candidates, q, k, v, training, run)) {
    seconds.push_back(one.seconds);
    char text[64];
    std::snprintf(text, sizeof text, "%s%s %.3f ms", times.empty() ? "" : ", ", name_of(one.kernel),
                  1e3 * one.seconds);
    if (one.refusal.empty())
      times += text;
    else
      refused += str_cat("; ", name_of(one.kernel), " cannot: ", one.refusal);
  }
  const std::size_t best =
      detail::pick_kernel(seconds, q.is_cpu() ? kClearGainCpu : kClearGainDevice);
  const AttentionKernel kernel =
      std::isnan(seconds[best]) ? AttentionKernel::kLibtorch : candidates[best];
  TITAN_LOG(INFO) << "[attention] " << name_of(kernel) << " for " << text_of(q, k)
                  << (training ? ", forward and backward" : ", forward") << " (" << times << refused
                  << "; attention.backend=auto)";
  return kernel;
}

AttentionKernel decide(AttentionBackend asked, const at::Tensor& q, const at::Tensor& k,
                       const at::Tensor& v, bool training, const RunAttention& run) {
  const bool deterministic = at::globalContext().deterministicAlgorithms();
  const std::vector<AttentionKernel> possible = detail::candidates(asked, q, k, deterministic);
  if (asked == AttentionBackend::kAuto) {
    if (possible.size() == 1 || deterministic || products_of(q, k) < kWorthMeasuring)
      return possible.front();
    return measure(possible, q, k, v, training, run);
  }
  const AttentionKernel wanted =
      asked == AttentionBackend::kCudnn ? AttentionKernel::kCudnn : AttentionKernel::kFlash;
  if (q.is_cuda() && asked != AttentionBackend::kMath && possible.front() != wanted) {
    TITAN_LOG(WARNING) << "[attention] " << name_of(wanted) << " does not take " << text_of(q, k)
                       << ", so " << name_of(possible.front())
                       << " runs there (attention.backend=" << name_of(wanted) << ")";
  }
  return possible.front();
}

}  // namespace

void set_attention_backend(AttentionBackend backend) {
  const std::lock_guard lock(choices().mutex);
  choices().asked = backend;
  choices().by_shape.clear();
}

Status set_attention_backend(const std::string& name, c10::DeviceType device) {
  const std::pair<const char*, AttentionBackend> known[] = {{"auto", AttentionBackend::kAuto},
                                                            {"cudnn", AttentionBackend::kCudnn},
                                                            {"flash", AttentionBackend::kFlash},
                                                            {"math", AttentionBackend::kMath}};
  for (const auto& [text, backend] : known) {
    if (name != text) continue;
    if (backend == AttentionBackend::kCudnn && device != c10::DeviceType::CUDA) {
      return invalid_argument(
          "[attention] attention.backend=cudnn needs a GPU, this run is on the ",
          c10::DeviceTypeName(device, /*lower_case=*/true), "; use auto or flash");
    }
    set_attention_backend(backend);
    return ok_status();
  }
  return invalid_argument(
      "[attention] attention.backend must be auto, cudnn, flash or math (attention.backend=", name,
      ")");
}

AttentionBackend attention_backend() {
  const std::lock_guard lock(choices().mutex);
  return choices().asked;
}

const char* name_of(AttentionKernel kernel) {
  switch (kernel) {
    case AttentionKernel::kOwn:
      return "titan's";
    case AttentionKernel::kFlash:
      return "flash";
    case AttentionKernel::kCudnn:
      return "cudnn";
    case AttentionKernel::kLibtorch:
      return "LibTorch's";
    case AttentionKernel::kMath:
      return "math";
  }
  return "?";
}

AttentionKernel attention_kernel_for(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                     bool training, const RunAttention& run) {
  const Key key = key_of(q, k, training);
  // Held while measuring: two threads that measured at once would measure each other.
  const std::lock_guard lock(choices().mutex);
  const auto found = choices().by_shape.find(key);
  if (found != choices().by_shape.end()) return found->second;
  const AttentionKernel kernel = decide(choices().asked, q, k, v, training, run);
  choices().by_shape.emplace(key, kernel);
  return kernel;
}

namespace detail {

std::size_t pick_kernel(const std::vector<double>& seconds, double gain) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < seconds.size(); ++i) {
    if (std::isnan(seconds[i])) continue;
    const double to_beat = best == 0 ? seconds[0] / gain : seconds[best];
    if (std::isnan(to_beat) || seconds[i] < to_beat) best = i;
  }
  return best;
}

std::vector<AttentionKernel> candidates(AttentionBackend asked, const at::Tensor& q,
                                        const at::Tensor& k, bool deterministic) {
  if (asked == AttentionBackend::kMath) return {AttentionKernel::kMath};
  if (!q.is_cuda()) {
    if (q.scalar_type() != at::kFloat || k.scalar_type() != at::kFloat)
      return {AttentionKernel::kLibtorch};
    if (asked == AttentionBackend::kFlash) return {AttentionKernel::kOwn};
    return {AttentionKernel::kOwn, AttentionKernel::kLibtorch};
  }
  if (!device_kernels()) return {AttentionKernel::kLibtorch};  // an old device: LibTorch knows it
  // What LibTorch's own chooser demands of the two kernels, for dense tensors without a mask.
  const bool half = q.scalar_type() == at::kBFloat16 || q.scalar_type() == at::kHalf;
  const bool wide = q.size(3) % 8 == 0 && q.numel() > 0;
  // cuDNN's backward adds up in any order.
  const bool cudnn =
      half && wide && q.size(3) <= 128 && k.size(1) > 1 && q.size(2) == k.size(2) && !deterministic;
  const bool flash = half && wide && q.size(3) <= 256;
  std::vector<AttentionKernel> found;
  if (cudnn && asked != AttentionBackend::kFlash) found.push_back(AttentionKernel::kCudnn);
  if (flash && (asked != AttentionBackend::kCudnn || !cudnn))
    found.push_back(AttentionKernel::kFlash);
  if (found.empty()) found.push_back(AttentionKernel::kLibtorch);
  return found;
}

}  // namespace detail
}  // namespace titan::ops
