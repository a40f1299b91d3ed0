#include "titan/metrics/tensorboard.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "titan/base/log.h"
#include "titan/metrics/tensorboard_event.h"
#include "titan/metrics/tfrecord.h"

namespace titan::metrics {
namespace {

namespace fs = std::filesystem;

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
constexpr const char* kFilePrefix = "events.out.tfevents.";

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string host_name() {
  char name[256] = "localhost";
  gethostname(name, sizeof(name) - 1);
  return name;
}

/// Collects what is known and finite.
class ScalarList {
 public:
  explicit ScalarList(std::string prefix) : prefix_(std::move(prefix)) {}
  void add(const std::string& tag, std::optional<double> value, double factor = 1) {
    if (value && std::isfinite(*value)) scalars_.emplace_back(prefix_ + tag, *value * factor);
  }
  void add_memory(const std::optional<memory::MemoryStats>& stats) {
    if (!stats) return;
    const auto share = [&](int64_t bytes) -> std::optional<double> {
      if (stats->capacity <= 0) return std::nullopt;
      return 100.0 * static_cast<double>(bytes) / static_cast<double>(stats->capacity);
    };
    add("memory/max_active(GiB)", static_cast<double>(stats->peak_active) / kGiB);
    add("memory/max_active(%)", share(stats->peak_active));
    add("memory/max_reserved(GiB)", static_cast<double>(stats->peak_reserved) / kGiB);
    add("memory/max_reserved(%)", share(stats->peak_reserved));
    add("memory/num_alloc_retries", static_cast<double>(stats->num_alloc_retries));
    add("memory/num_ooms", static_cast<double>(stats->num_ooms));
  }
  Scalars take() { return std::move(scalars_); }

 private:
  std::string prefix_;
  Scalars scalars_;
};

Status cut_file_back(const fs::path& path, int64_t step) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream buffer;
  buffer << file.rdbuf();
  if (!file) return invalid_argument("[metrics] cannot read ", path.string());
  const std::string bytes = buffer.str();
  std::size_t end = 0;
  while (const auto record = record_at(bytes, end)) {
    const std::optional<int64_t> event_step = step_of_event(record->payload);
    if (!event_step || *event_step > step) break;
    end = record->end;
  }
  if (end == bytes.size()) return ok_status();
  // Steps grow within a file, so its tail is all there is to remove.
  if (truncate(path.c_str(), static_cast<off_t>(end)) != 0)
    return invalid_argument("[metrics] cannot shorten ", path.string(), " (", std::strerror(errno),
                            ")");
  return ok_status();
}

}  // namespace

Scalars train_scalars(const TrainRecord& r) {
  ScalarList list("");
  list.add("loss_metrics/global_avg_loss", r.loss);
  list.add("loss_metrics/global_max_loss", r.loss_max);
  list.add("grad_norm", r.grad_norm);
  list.add("throughput(tps)", r.elements_per_s);
  list.add("im/s", r.samples_per_s);
  if (r.step_s && *r.step_s > 0) list.add("it/s", 1 / *r.step_s);
  list.add("tflops", r.tflops);
  list.add("mfu(%)", r.mfu, 100);
  list.add("mfu_fp8(%)", r.mfu_fp8, 100);
  list.add("time_metrics/end_to_end(s)", r.step_s);
  if (r.step_s && r.data_wait_share)
    list.add("time_metrics/data_loading(s)", *r.step_s * *r.data_wait_share);
  list.add("time_metrics/data_loading(%)", r.data_wait_share, 100);
  list.add_memory(r.memory);
  list.add("hparams/lr_0", r.lr);
  return list.take();
}

Scalars eval_scalars(const EvalRecord& r) {
  ScalarList list("val_");
  list.add("loss_metrics/avg_loss", r.loss);
  list.add("throughput(tps)", r.elements_per_s);
  list.add("time_metrics/end_to_end(s)", r.seconds);
  list.add_memory(r.memory);
  for (const auto& [name, value] : r.values) list.add("metrics/" + name, value);
  return list.take();
}

StatusOr<std::unique_ptr<TensorboardSink>> TensorboardSink::open(
    const std::string& folder, std::optional<int64_t> resumed_step) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error)
    return invalid_argument("[metrics] cannot make the folder ", folder, " (", error.message(),
                            ")");
  if (resumed_step) TITAN_RETURN_IF_ERROR(cut_tensorboard_back_to_step(folder, *resumed_step));
  const std::string stem = str_cat(folder, "/", kFilePrefix, static_cast<int64_t>(wall_time()), ".",
                                   host_name(), ".", getpid());
  std::string path = stem;
  int file = -1;
  // A second run in the same second of the same process gets a number.
  for (int number = 0; number < 100; ++number) {
    path = str_cat(stem, ".", number);
    file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
    if (file >= 0 || errno != EEXIST) break;
  }
  if (file < 0)
    return invalid_argument("[metrics] cannot write ", path, " (", std::strerror(errno), ")");
  std::unique_ptr<TensorboardSink> sink(new TensorboardSink(path, file));
  sink->write_event(version_event(wall_time()));
  if (resumed_step) sink->write_event(restart_event(wall_time(), *resumed_step + 1));
  return sink;
}

TensorboardSink::~TensorboardSink() { ::close(file_); }

void TensorboardSink::train(const TrainRecord& record) {
  write_event(scalar_event(wall_time(), record.step, train_scalars(record)));
}

void TensorboardSink::eval(const EvalRecord& record) {
  write_event(scalar_event(wall_time(), record.step, eval_scalars(record)));
}

void TensorboardSink::write_event(const std::string& event) {
  const std::string record = frame_record(event);
  std::size_t written = 0;
  while (written < record.size()) {
    const ssize_t count = ::write(file_, record.data() + written, record.size() - written);
    if (count > 0) {
      written += static_cast<std::size_t>(count);
      continue;
    }
    if (count < 0 && errno == EINTR) continue;
    if (!failed_)
      TITAN_LOG(WARNING) << "[metrics] cannot write " << path_ << " (" << std::strerror(errno)
                         << ")";
    failed_ = true;
    return;
  }
}

Status cut_tensorboard_back_to_step(const std::string& folder, int64_t step) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().filename().string().rfind(kFilePrefix, 0) != 0) continue;
    TITAN_RETURN_IF_ERROR(cut_file_back(entry.path(), step));
  }
  if (error && error != std::errc::no_such_file_or_directory)
    return invalid_argument("[metrics] cannot read the folder ", folder, " (", error.message(),
                            ")");
  return ok_status();
}

}  // namespace titan::metrics
