#include "titan/train/run_profiler.h"

#include <cstdio>
#include <fstream>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include <ATen/record_function.h>
#include <torch/csrc/autograd/profiler_kineto.h>
#include <torch/csrc/profiler/stubs/base.h>
#include <nlohmann/json.hpp>

#include "titan/base/log.h"
#include "titan/base/status.h"
#include "titan/base/trace.h"
#include "titan/checkpoint/checkpoint_folder.h"
#include "titan/memory/cpu_allocator.h"
#include "titan/parallel/device_services.h"

namespace titan {
namespace {

namespace fs = std::filesystem;
namespace kineto = torch::autograd::profiler;
using torch::profiler::impl::ActivityType;

/// Spans of the training thread as ranges of the profilers that listen.
class Ranges {
 public:
  static void begin(const char* name, int unit) {
    const std::string text = unit < 0 ? std::string(name) : str_cat(name, " ", unit);
    if (nvtx) torch::profiler::impl::cudaStubs()->rangePush(text.c_str());
    if (!recording) return;
    open.push_back(std::make_unique<at::RecordFunction>(at::RecordScope::USER_SCOPE));
    if (open.back()->isActive()) open.back()->before(text);
  }
  static void end() {
    if (nvtx) torch::profiler::impl::cudaStubs()->rangePop();
    if (!open.empty()) open.pop_back();
  }
  static inline bool nvtx = false;
  static inline bool recording = false;

 private:
  static inline thread_local std::vector<std::unique_ptr<at::RecordFunction>> open;
};
constexpr SpanListener kListener{Ranges::begin, Ranges::end};

torch::profiler::impl::ProfilerConfig kineto_config() {
  return torch::profiler::impl::ProfilerConfig(torch::profiler::impl::ProfilerState::KINETO,
                                               /*report_input_shapes=*/true,
                                               /*profile_memory=*/false);
}

std::set<ActivityType> activities(c10::Device device) {
  std::set<ActivityType> wanted = {ActivityType::CPU};
  if (device.is_cuda()) wanted.insert(ActivityType::CUDA);
  return wanted;
}

/// The file of this rank in a folder that is made; empty where that fails.
fs::path rank_file(const fs::path& folder, int rank, const char* suffix) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    TITAN_LOG(WARNING) << "[profiling] cannot make " << folder.string() << ": " << error.message();
    return {};
  }
  char name[32];
  std::snprintf(name, sizeof name, "rank-%05d%s", rank, suffix);
  return folder / name;
}

}  // namespace

ProfilerPhase profiler_phase(const ProfilingSection& settings, int64_t step) {
  const int64_t left = settings.profile_freq - 1 - (step - 1) % settings.profile_freq;
  if (left < settings.profiler_active) return ProfilerPhase::kRecord;
  return left < settings.profiler_active + settings.profiler_warmup ? ProfilerPhase::kWarmUp
                                                                    : ProfilerPhase::kWait;
}

RunProfiler::RunProfiler(const ProfilingSection& settings, c10::Device device, int rank,
                         std::filesystem::path run_folder)
    : settings_(settings), device_(device), rank_(rank), run_folder_(std::move(run_folder)) {
  Ranges::nvtx = settings.enable_nvtx && device.is_cuda();
  if (settings.enable_nvtx && !device.is_cuda())
    TITAN_LOG(WARNING) << "[profiling] profiling.enable_nvtx marks nothing without a GPU";
  if (Ranges::nvtx || settings.enable_profiling) set_span_listener(&kListener);
  parallel::DeviceServices* services = parallel::device_services();
  if (settings.enable_memory_snapshot && device.is_cuda() && services != nullptr)
    services->record_memory_history(true);
}

RunProfiler::~RunProfiler() {
  set_span_listener(nullptr);
  if (phase_ == ProfilerPhase::kRecord) (void)kineto::disableProfiler();
  Ranges::nvtx = Ranges::recording = false;
}

void RunProfiler::begin_step(int64_t step) {
  if (!settings_.enable_profiling) return;
  const ProfilerPhase wanted = profiler_phase(settings_, step);
  if (wanted == phase_) return;
  // Once before a trace: a second call ends the profiler.
  if (phase_ == ProfilerPhase::kWait) kineto::prepareProfiler(kineto_config(), activities(device_));
  phase_ = wanted;
  if (wanted == ProfilerPhase::kRecord) {
    kineto::enableProfiler(kineto_config(), activities(device_));
    Ranges::recording = true;
  }
}

void RunProfiler::end_step(int64_t step) {
  if (phase_ == ProfilerPhase::kRecord && step % settings_.profile_freq == 0) finish_trace(step);
  if (settings_.enable_memory_snapshot && step % settings_.profile_freq == 0)
    write_snapshot(checkpoint::step_folder_name(step));
}

void RunProfiler::finish_trace(int64_t step) {
  Ranges::recording = false;
  phase_ = ProfilerPhase::kWait;
  const std::unique_ptr<kineto::ProfilerResult> result = kineto::disableProfiler();
  const fs::path file =
      rank_file(run_folder_ / settings_.save_traces_folder / checkpoint::step_folder_name(step),
                rank_, ".json");
  if (file.empty()) return;
  result->save(file.string());
  TITAN_LOG(INFO) << "[profiling] " << file.string();
}

void RunProfiler::write_snapshot(const std::string& name) {
  parallel::DeviceServices* services = parallel::device_services();
  const bool on_gpu = device_.is_cuda() && services != nullptr;
  const fs::path file = rank_file(run_folder_ / settings_.save_memory_snapshot_folder / name, rank_,
                                  on_gpu ? ".pickle" : ".json");
  if (file.empty()) return;
  std::string content;
  if (on_gpu) {
    content = services->memory_snapshot();
  } else {
    const memory::MemoryStats stats = memory::cpu_memory_stats().value_or(memory::MemoryStats{});
    content = nlohmann::json{{"active", stats.active},
                             {"peak_active", stats.peak_active},
                             {"reserved", stats.reserved},
                             {"peak_reserved", stats.peak_reserved}}
                  .dump(2);
  }
  std::ofstream out(file, std::ios::binary);
  out << content;
  if (!out.flush()) {
    TITAN_LOG(WARNING) << "[profiling] cannot write " << file.string();
    return;
  }
  TITAN_LOG(INFO) << "[profiling] " << file.string();
}

void RunProfiler::out_of_memory(int64_t step) noexcept {
  if (!settings_.enable_memory_snapshot) return;
  try {
    write_snapshot(checkpoint::step_folder_name(step) + "-out-of-memory");
  } catch (const std::exception& error) {
    TITAN_LOG(WARNING) << "[profiling] no memory snapshot: " << error.what();
  }
}

}  // namespace titan
