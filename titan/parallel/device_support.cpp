#include "titan/parallel/device_support.h"

#include <algorithm>
#include <utility>

#include "titan/base/human.h"
#include "titan/base/status.h"

namespace titan::parallel {
namespace {

// A context with LibTorch's and our kernels, cuBLAS' and NCCL's buffers.
constexpr int64_t kOwnContext = int64_t{3} << 28;
// Below, what is not accounted for may as well be ours: NCCL's channels, another context's.
constexpr int64_t kWorthSaying = int64_t{2} << 30;

std::string gib(int64_t bytes) { return human_bytes(static_cast<double>(bytes)); }

std::string version_text(int version) { return str_cat(version / 1000, ".", version % 1000 / 10); }

/// Codes of cuInit that a user can do something about (cuda.h, CUresult).
std::string init_problem(int code) {
  switch (code) {
    case 100:  // CUDA_ERROR_NO_DEVICE
      return "the NVIDIA driver sees no device";
    case 46:  // CUDA_ERROR_DEVICE_UNAVAILABLE
      return "the GPU is taken: it is in exclusive mode and another process uses it (nvidia-smi "
             "shows which)";
    case 802:  // CUDA_ERROR_SYSTEM_NOT_READY
      return "the NVIDIA driver is not ready yet (its fabric manager must run)";
    case 803:  // CUDA_ERROR_SYSTEM_DRIVER_MISMATCH
      return "libcuda.so.1 and the kernel's NVIDIA module are of different versions (after an "
             "update "
             "the machine must be started again)";
    default:
      return str_cat("the NVIDIA driver does not start (cuInit says ", code, ")");
  }
}

std::string named(const MemoryHolder& holder) {
  std::string text = str_cat("process ", holder.pid);
  if (!holder.program.empty()) text += str_cat(" (", holder.program, ")");
  if (holder.bytes > 0) text += str_cat(" has ", gib(holder.bytes));
  return text;
}

std::string list_of(const std::vector<MemoryHolder>& holders) {
  constexpr std::size_t kMostNamed = 4;
  std::string text;
  for (std::size_t i = 0; i < std::min(holders.size(), kMostNamed); ++i)
    text += (i == 0 ? ": " : ", ") + named(holders[i]);
  if (holders.size() > kMostNamed) text += str_cat(" and ", holders.size() - kMostNamed, " more");
  return text;
}

}  // namespace

std::string driver_problem(int init, int version, int devices) {
  // An old driver's other answers may follow from its age.
  if (version > 0 && version < kCudaNeeded) {
    return str_cat("the NVIDIA driver is too old: it knows CUDA ", version_text(version),
                   ", LibTorch is built with CUDA ", version_text(kCudaNeeded),
                   " and needs driver 580 or newer (nvidia-smi shows the one that runs)");
  }
  if (init != 0) return init_problem(init);
  return devices > 0 ? "" : "the NVIDIA driver sees no device";
}

std::string kernels_problem(const std::string& device_name, int capability, int built_for) {
  if (capability == 0 || built_for == 0 || capability >= built_for) return "";
  return str_cat("[cuda] this GPU is sm_", capability, " (", device_name,
                 "); titan's kernels were built for sm_", built_for,
                 " and newer: LibTorch's plain operations are used, which is slower");
}

int64_t DeviceMemory::held_by_others() const {
  if (free < 0) return 0;
  const int64_t held = total - free - own - kOwnContext;
  return held < std::max(total / 50, kWorthSaying) ? 0 : held;
}

std::string others_hold(const DeviceMemory& memory) {
  const int64_t held = memory.held_by_others();
  if (held == 0) return "";
  return str_cat("[cuda] other processes hold about ", gib(held), " of the ", gib(memory.total),
                 " of ", memory.device, list_of(memory.holders), "; ", gib(memory.free),
                 " are free");
}

std::string out_of_memory_text(const std::string& error, const DeviceMemory& memory) {
  // "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has ..."
  const std::string mark = "Tried to allocate ";
  const std::size_t found = error.find(mark);
  std::string asked = "more";
  if (found != std::string::npos) {
    const std::size_t start = found + mark.size();
    asked = error.substr(start, std::min(error.find(". ", start), error.find('\n', start)) - start);
    if (!asked.empty() && asked.back() == '.') asked.pop_back();
  }
  std::string text = str_cat("[cuda] out of memory: ", asked, " asked for on ", memory.device,
                             ", which has ", gib(std::max<int64_t>(memory.free, 0)), " free of ",
                             gib(memory.total), "; this process has reserved ", gib(memory.own));
  if (const int64_t held = memory.held_by_others(); held > 0)
    text += str_cat(", others hold about ", gib(held), list_of(memory.holders));
  return text +
         "; a smaller training.batch_size or activation_checkpoint.mode=full needs less (titan "
         "plan "
         "says how much)";
}

}  // namespace titan::parallel
