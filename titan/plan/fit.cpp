#include "titan/plan/fit.h"

#include <c10/util/Exception.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <fstream>
#include <utility>

#include "titan/base/human.h"
#include "titan/base/log.h"
#include "titan/memory/cpu_allocator.h"

namespace titan::plan {
namespace {

std::string human(int64_t bytes) { return human_bytes(static_cast<double>(bytes)); }

int64_t machine_memory() {
  int64_t bytes = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  // A container's limit; "max" where it has none.
  std::ifstream file("/sys/fs/cgroup/memory.max");
  int64_t allowed = 0;
  if (file >> allowed && allowed > 0) bytes = std::min(bytes, allowed);
  return bytes;
}

Status not_planned(const std::string& why) {
  TITAN_LOG(WARNING) << "[memory] not planned: this model does not run on shapes alone (" << why
                     << ")";
  return ok_status();
}

/// A change of settings and what it makes of the plan.
struct Remedy {
  std::string setting;
  Layout layout;
};

std::vector<Remedy> remedies(const Layout& layout) {
  std::vector<Remedy> all;
  const std::string& mode = layout.config.activation_checkpoint.mode;
  for (const char* stronger : {"selective", "full"}) {
    if (mode == "full" || mode == stronger) continue;
    Layout changed = layout;
    changed.config.activation_checkpoint = {};
    changed.config.activation_checkpoint.mode = stronger;
    std::string setting = str_cat("--activation_checkpoint.mode=", stronger);
    if (mode == "none" && std::string(stronger) == "selective") {
      changed.config.activation_checkpoint.selective_ac_option = "op";
      setting += " --activation_checkpoint.selective_ac_option=op";
    }
    all.push_back({std::move(setting), std::move(changed)});
  }
  const int64_t world = layout.dims.world_size();
  const bool fsdp =
      layout.dims.dp_shard == world && layout.config.parallelism.shard_strategy == "fsdp";
  if (world > 1 && !fsdp) {
    Layout changed = layout;
    changed.config.parallelism.shard_strategy = "fsdp";
    changed.dims = {.dp_shard = world};
    all.push_back(
        {"--parallelism.data_parallel_replicate_degree=1 "
         "--parallelism.data_parallel_shard_degree=-1 --parallelism.shard_strategy=fsdp",
         std::move(changed)});
  }
  if (layout.device != c10::DeviceType::CPU && !layout.config.training.enable_cpu_offload) {
    Layout changed = layout;
    changed.config.training.enable_cpu_offload = true;
    all.push_back({"--training.enable_cpu_offload=true", std::move(changed)});
  }
  return all;
}

/// The largest micro-batch below the present one that fits and divides the global batch, where one
/// is set (there is accumulation then, which keeps whole gradients); 0 = none.
int64_t smaller_micro_batch(const ShapeModel& model, Layout layout, int64_t limit_bytes) {
  const int64_t global = layout.config.training.global_batch_size;
  if (global > 0) layout.accumulation = std::max<int64_t>(layout.accumulation, 2);
  const StatusOr<int64_t> largest = largest_micro_batch(model, layout, limit_bytes);
  if (!largest.ok()) return 0;
  int64_t samples = std::min(*largest, layout.micro_batch - 1);
  while (global > 0 && samples > 1 && global / layout.dims.dp_size() % samples != 0) --samples;
  return samples;
}

}  // namespace

MemoryLimit memory_limit(const JobConfig& config, c10::DeviceType device, int64_t device_capacity,
                         int64_t local_world_size) {
  if (config.memory.limit_gib > 0) {
    return {static_cast<int64_t>(config.memory.limit_gib * static_cast<double>(1LL << 30)),
            "memory.limit_gib"};
  }
  if (device != c10::DeviceType::CPU) return {device_capacity, "the device's memory"};
  return {machine_memory() / std::max<int64_t>(local_world_size, 1),
          str_cat("this machine's memory over ", local_world_size, " ranks")};
}

std::string describe(const MemoryPlan& plan) {
  std::string text;
  const auto item = [&](const char* name, int64_t bytes) {
    if (bytes > 0) text += str_cat(text.empty() ? "" : ", ", name, " ", human(bytes));
  };
  item("parameters", plan.fixed.parameters + plan.fixed.master);
  item("gradients", plan.fixed.gradients + plan.fixed.whole_gradients);
  item("encoders", plan.encoders);
  item("optimizer", plan.fixed.moments);
  item("EMA", plan.fixed.averages);
  item("gathered units", plan.step.gather_slots);
  item("messages", plan.step.message_slots);
  item("activations", plan.step.activations);
  item("batches read ahead", plan.is_host ? plan.loader : 0);
  item("context and communicators", plan.communicators);
  if (plan.offload && !plan.is_host)
    text += str_cat("; of these in host memory ", human(plan.fixed.state()));
  return text;
}

std::vector<std::string> what_would_fit(const ShapeModel& model, const Layout& layout,
                                        int64_t limit_bytes) {
  std::vector<std::string> ways;
  const auto batch = [&](const Layout& tried, const std::string& setting) {
    const StatusOr<MemoryPlan> as_is = plan_memory(model, tried);
    if (as_is.ok() && as_is->device_bytes() <= limit_bytes) {
      ways.push_back(setting);
      return;
    }
    const int64_t smaller = smaller_micro_batch(model, tried, limit_bytes);
    if (smaller > 0)
      ways.push_back(
          str_cat(setting, setting.empty() ? "" : " ", "--training.batch_size=", smaller));
  };
  batch(layout, "");
  for (const Remedy& remedy : remedies(layout)) batch(remedy.layout, remedy.setting);
  return ways;
}

Status check_fits(const ModelSpec& spec, DataView data, const Layout& layout,
                  const MemoryLimit& limit) {
  if (!layout.config.memory.check_fit || limit.bytes <= 0) return ok_status();
  try {
    TITAN_ASSIGN_OR_RETURN(const ShapeModel model,
                           ShapeModel::build(layout.config, spec, std::move(data)));
    TITAN_ASSIGN_OR_RETURN(const MemoryPlan plan, plan_memory(model, layout));
    // What is in memory already, of the data set for example, stays there.
    int64_t present = 0;
    if (layout.device == c10::DeviceType::CPU) {
      const auto stats = memory::cpu_memory_stats();
      if (stats) present = stats->active;
    }
    if (plan.device_bytes() + present <= limit.bytes) {
      TITAN_LOG(INFO) << "[memory] planned peak " << human(plan.device_bytes() + present)
                      << " a rank (" << describe(plan) << ")";
      return ok_status();
    }
    std::string ways;
    for (const std::string& way : what_would_fit(model, layout, limit.bytes - present))
      ways += "\n  " + way;
    return invalid_argument(
        "[memory] this job needs ", human(plan.device_bytes() + present), " on each rank, ",
        human(limit.bytes), " are there (", limit.source, "): ", describe(plan), ". ",
        ways.empty() ? "No smaller micro-batch, recompute or sharding over these ranks fits: use "
                       "more ranks or a smaller model"
                     : "What would fit:" + ways,
        "\n  (--memory.check_fit=false starts it all the same)");
  } catch (const c10::Error& error) {
    return not_planned(error.what_without_backtrace());
  } catch (const std::exception& error) {
    return not_planned(error.what());
  }
}

}  // namespace titan::plan
