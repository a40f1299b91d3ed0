#include "titan/tools/make_shapes.h"

#include <signal.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <thread>
#include <utility>

#include <nlohmann/json.hpp>

#include "titan/base/log.h"
#include "titan/io/atomic_file.h"
#include "titan/io/image_write.h"
#include "titan/io/tar_writer.h"
#include "titan/tools/shape_captions.h"
#include "titan/tools/shapes.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

/// Raised when the pictures change: an older folder is then not taken for the same.
constexpr int kFormat = 1;

std::string shard_name(std::int64_t shard) {
  char name[32];
  std::snprintf(name, sizeof name, "shapes-%05d.tar", static_cast<int>(shard));
  return name;
}

std::string parameters_text(const MakeShapesOptions& options) {
  nlohmann::ordered_json json = {{"format", kFormat},
                                 {"num_samples", options.num_samples},
                                 {"image_size", options.image_size},
                                 {"samples_per_shard", options.samples_per_shard},
                                 {"seed", options.seed},
                                 {"quality", options.quality}};
  if (options.many_wordings) json["wordings"] = "many";
  return json.dump(2) + "\n";
}

std::string read_text(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

Status check_options(const MakeShapesOptions& options) {
  const auto in_range = [](std::int64_t value, std::int64_t low, std::int64_t high) {
    return value >= low && value <= high;
  };
  if (options.output_folder.empty())
    return invalid_argument("[make-shapes] needs an output folder");
  if (!in_range(options.num_samples, 1, 100'000'000) || !in_range(options.image_size, 16, 1024) ||
      !in_range(options.samples_per_shard, 1, 1'000'000) || !in_range(options.quality, 1, 100))
    return invalid_argument("[make-shapes] parameters out of range (samples ", options.num_samples,
                            ", image size ", options.image_size, ", samples per shard ",
                            options.samples_per_shard, ", quality ", options.quality, ")");
  return ok_status();
}

/// Writes shards, taken by several threads from one counter. The first error stops all.
class ShardWriter {
 public:
  ShardWriter(const MakeShapesOptions& options, fs::path folder)
      : options_(options),
        folder_(std::move(folder)),
        num_shards_((options.num_samples + options.samples_per_shard - 1) /
                    options.samples_per_shard) {}

  Status run() {
    const auto cores = static_cast<std::int64_t>(std::max(1U, std::thread::hardware_concurrency()));
    const std::int64_t wanted = options_.num_threads > 0 ? options_.num_threads : cores;
    std::vector<std::thread> threads;
    for (std::int64_t i = 0; i < std::min(wanted, num_shards_); ++i)
      threads.emplace_back([this] { work(); });
    for (std::thread& thread : threads) thread.join();
    return status_;
  }

 private:
  void work() {
    for (;;) {
      const std::int64_t shard = next_++;
      if (shard >= num_shards_ || stop_) return;
      const Status status = write_shard(shard);
      if (status.ok()) continue;
      const std::lock_guard<std::mutex> lock(mutex_);
      if (status_.ok()) status_ = status;
      stop_ = true;
    }
  }

  Status write_shard(std::int64_t shard) {
    TITAN_ASSIGN_OR_RETURN(TarWriter tar,
                           TarWriter::create((folder_ / shard_name(shard)).string()));
    const std::int64_t begin = shard * options_.samples_per_shard;
    const std::int64_t end = std::min(begin + options_.samples_per_shard, options_.num_samples);
    for (std::int64_t sample = begin; sample < end && !stop_; ++sample) {
      TITAN_RETURN_IF_ERROR(add_sample(tar, sample));
      report(++num_done_);
    }
    return tar.finish();
  }

  Status add_sample(TarWriter& tar, std::int64_t sample) const {
    const ShapeScene scene = draw_scene(options_.seed, static_cast<std::uint64_t>(sample));
    TITAN_ASSIGN_OR_RETURN(const std::vector<std::uint8_t> jpeg,
                           encode_jpeg(render_scene(scene, options_.image_size),
                                       {.quality = options_.quality, .subsample_color = false}));
    const std::string caption =
        options_.many_wordings ? drawn_caption(scene, options_.seed) : caption_of(scene);
    char key[32];
    std::snprintf(key, sizeof key, "%06lld", static_cast<long long>(sample));
    const nlohmann::ordered_json json = {{"key", key},
                                         {"label", scene.label},
                                         {"class_name", shape_class_name(scene.label)},
                                         {"caption", caption}};
    TITAN_RETURN_IF_ERROR(tar.add(str_cat(key, ".jpg"), jpeg.data(), jpeg.size()));
    TITAN_RETURN_IF_ERROR(tar.add(str_cat(key, ".cls"), str_cat(scene.label)));
    TITAN_RETURN_IF_ERROR(tar.add(str_cat(key, ".txt"), caption));
    return tar.add(str_cat(key, ".json"), json.dump());
  }

  /// One line every quarter of a large set: this takes seconds.
  void report(std::int64_t done) const {
    const std::int64_t quarter = std::max<std::int64_t>(options_.num_samples / 4, 1000);
    if (done % quarter == 0 && done < options_.num_samples)
      TITAN_LOG(INFO) << "[make-shapes] " << done << " of " << options_.num_samples << " pictures";
  }

  const MakeShapesOptions& options_;
  fs::path folder_;
  std::int64_t num_shards_;
  std::atomic<std::int64_t> next_{0};
  std::atomic<std::int64_t> num_done_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  Status status_ = ok_status();
};

/// Removes `.tmp-<pid>` folders beside `target` whose writer is gone.
void remove_leftovers(const fs::path& target) {
  const std::string prefix = target.filename().string() + ".tmp-";
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(target.parent_path(), error)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind(prefix, 0) != 0) continue;
    pid_t pid = 0;
    std::from_chars(name.data() + prefix.size(), name.data() + name.size(), pid);
    if (pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH) fs::remove_all(entry.path(), error);
  }
}

/// True where `folder` holds the output of these parameters; an error where it holds anything else.
StatusOr<bool> already_made(const fs::path& folder, const MakeShapesOptions& options) {
  std::error_code error;
  if (!fs::exists(folder, error)) return false;
  if (!fs::is_directory(folder, error))
    return failed_precondition("[make-shapes] the output is not a folder (", folder.string(), ")");
  if (fs::is_empty(folder, error)) return false;
  const std::string found = read_text(folder / "shapes.json");
  if (found == parameters_text(options)) return true;
  return failed_precondition(
      "[make-shapes] the output folder must be empty or hold the same data set (", folder.string(),
      found.empty() ? " holds other files" : " was made with other parameters",
      "); choose another one or remove it");
}

Status write_unseen_prompts(const fs::path& folder) {
  std::string prompts, names;
  for (int label = 0; label < kNumShapeClasses; ++label)
    for (const std::string& prompt : unseen_prompts(label)) {
      prompts += prompt + "\n";
      names += shape_class_name(label) + "\n";
    }
  TITAN_RETURN_IF_ERROR(write_file_atomically((folder / "prompts_unseen.txt").string(), prompts));
  return write_file_atomically((folder / "prompts_unseen_labels.txt").string(), names);
}

Status write_folder(const fs::path& folder, const MakeShapesOptions& options) {
  ShardWriter writer(options, folder);
  TITAN_RETURN_IF_ERROR(writer.run());
  std::string names;
  for (int label = 0; label < kNumShapeClasses; ++label) names += shape_class_name(label) + "\n";
  TITAN_RETURN_IF_ERROR(write_file_atomically((folder / "classes.txt").string(), names));
  if (options.many_wordings) TITAN_RETURN_IF_ERROR(write_unseen_prompts(folder));
  return write_file_atomically((folder / "shapes.json").string(), parameters_text(options));
}

}  // namespace

Status make_shapes(const MakeShapesOptions& options) {
  TITAN_RETURN_IF_ERROR(check_options(options));
  const auto start = std::chrono::steady_clock::now();
  std::error_code error;
  fs::path target = fs::absolute(options.output_folder, error).lexically_normal();
  if (!target.has_filename()) target = target.parent_path();  // a trailing slash
  TITAN_ASSIGN_OR_RETURN(const bool made, already_made(target, options));
  if (made) {
    TITAN_LOG(INFO) << "[make-shapes] " << target.string() << " holds these " << options.num_samples
                    << " pictures already";
    return ok_status();
  }
  fs::create_directories(target.parent_path(), error);
  if (error)
    return internal_error("[make-shapes] cannot make ", target.parent_path().string(), ": ",
                          error.message());
  remove_leftovers(target);
  const fs::path building = str_cat(target.string(), ".tmp-", ::getpid());
  fs::create_directory(building, error);
  if (error)
    return internal_error("[make-shapes] cannot make ", building.string(), ": ", error.message());
  Status status = write_folder(building, options);
  if (status.ok() && std::rename(building.c_str(), target.c_str()) != 0) {
    // Another process may have been faster: its output is as good.
    const StatusOr<bool> theirs = already_made(target, options);
    if (!theirs.ok() || !*theirs)
      status = internal_error("[make-shapes] cannot rename ", building.string(), " to ",
                              target.string());
  }
  fs::remove_all(building, error);
  TITAN_RETURN_IF_ERROR(status);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  TITAN_LOG(INFO) << "[make-shapes] " << options.num_samples << " pictures of "
                  << options.image_size << " x " << options.image_size << " pixels in "
                  << target.string() << ", " << seconds << " s";
  return fsync_directory(target.parent_path().string());
}

}  // namespace titan
