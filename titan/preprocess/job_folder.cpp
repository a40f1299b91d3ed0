#include "titan/preprocess/job_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <set>
#include <utility>

#include "titan/base/printable.h"
#include "titan/io/atomic_file.h"
#include "titan/io/errno_status.h"
#include "titan/io/json_as.h"

namespace titan::preprocess {
namespace {

namespace fs = std::filesystem;

constexpr int kVersion = 1;
constexpr const char* kElsewhere =
    "; choose another --preprocessing.output_dataset_path, or remove that folder";

std::string padded(int64_t unit) {
  char text[32];
  std::snprintf(text, sizeof text, "%06lld", static_cast<long long>(unit));
  return text;
}

fs::path normal_path(const std::string& output) {
  std::error_code ignored;
  fs::path path = fs::absolute(output, ignored).lexically_normal();
  return path.has_filename() ? path : path.parent_path();  // a trailing slash
}

StatusOr<nlohmann::ordered_json> read_json(const fs::path& path) {
  TITAN_ASSIGN_OR_RETURN(const std::string text, read_file(path.string(), 64 << 20));
  nlohmann::ordered_json json =
      nlohmann::ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return data_loss("[preprocess] ", path.string(), " is not a JSON object");
  return json;
}

std::string dumped(const nlohmann::ordered_json& json, int indent = -1) {
  // A name from a file may hold any bytes; JSON may not.
  return json.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

/// What the manifest in `folder` says of its job.
StatusOr<JobDescription> job_of(const fs::path& manifest, const nlohmann::ordered_json& json) {
  const auto version = json.find("version");
  const bool ours = version != json.end() && version->is_number_integer() && *version == kVersion;
  if (!ours || !json.contains("job"))
    return data_loss("[preprocess] ", manifest.string(), " is of another version of this program",
                     kElsewhere);
  StatusOr<JobDescription> job = description_from_json(json["job"]);
  if (!job.ok()) return annotate(job.status(), str_cat("[preprocess] ", manifest.string()));
  return job;
}

Status check_same_job(const fs::path& folder, const JobDescription& there,
                      const JobDescription& here) {
  const std::string text = differences(there, here);
  if (text.empty()) return ok_status();
  return failed_precondition("[preprocess] ", folder.string(),
                             " holds the data of another job; different: ", text, kElsewhere);
}

/// True where the finished output of this job is there; an error where something else is.
StatusOr<bool> output_is_finished(const JobPaths& paths, const JobDescription& job) {
  std::error_code error;
  const fs::path& output = paths.output();
  if (!fs::exists(output, error)) return false;
  if (fs::is_directory(output, error) && fs::is_empty(output, error)) return false;
  const fs::path manifest = output / paths.manifest().filename();
  if (!fs::exists(manifest, error))
    return failed_precondition("[preprocess] ", output.string(),
                               " exists and is not the output of a preprocessing job", kElsewhere);
  TITAN_ASSIGN_OR_RETURN(const nlohmann::ordered_json json, read_json(manifest));
  TITAN_ASSIGN_OR_RETURN(const JobDescription there, job_of(manifest, json));
  TITAN_RETURN_IF_ERROR(check_same_job(output, there, job));
  return true;
}

StatusOr<UnitRecord> read_record(const fs::path& path) {
  TITAN_ASSIGN_OR_RETURN(const nlohmann::ordered_json json, read_json(path));
  UnitRecord record;
  try {
    record.rows = json_as<int64_t>(json.at("rows"));
    record.bytes = json_as<int64_t>(json.at("bytes"));
    for (const auto& entry : json.at("skipped"))
      record.skipped.push_back({json_as<int64_t>(entry.at("sample")), entry.at("why")});
  } catch (const nlohmann::json::exception& error) {
    return data_loss("[preprocess] ", path.string(), " cannot be read: ", error.what());
  }
  return record;
}

}  // namespace

JobPaths::JobPaths(const std::string& output)
    : output_(normal_path(output)),
      work_(output_.parent_path() / (".tmp-" + output_.filename().string())) {}

fs::path JobPaths::unit_file(int64_t unit) const { return work_ / ("unit-" + padded(unit)); }
fs::path JobPaths::unit_record(int64_t unit) const {
  return work_ / "units" / (padded(unit) + ".json");
}

Status record_unit(const JobPaths& paths, int64_t unit, const UnitRecord& record) {
  nlohmann::ordered_json skipped = nlohmann::ordered_json::array();
  for (const SkippedSample& sample : record.skipped)
    skipped.push_back({{"sample", sample.index}, {"why", sample.why}});
  const nlohmann::ordered_json json = {
      {"rows", record.rows}, {"bytes", record.bytes}, {"skipped", skipped}};
  return write_file_atomically(paths.unit_record(unit).string(), dumped(json));
}

Status JobFolder::lock() {
  const std::string path = (paths_.work() / ".lock").string();
  lock_ = FileDescriptor(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!lock_.is_open()) return errno_status(errno, "write", path);
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return errno_status(errno, "lock", path);
    char holder[300] = {};
    const ssize_t count = ::pread(lock_.get(), holder, sizeof holder - 1, 0);
    return failed_precondition("[preprocess] another job is at work on ", paths_.output().string(),
                               " (", count > 0 ? printable(holder) : "unknown process",
                               "); wait for it, or choose another "
                               "--preprocessing.output_dataset_path");
  }
  char host[256] = "unknown host";
  ::gethostname(host, sizeof host - 1);
  const std::string text = str_cat("host ", host, ", pid ", ::getpid());
  if (::ftruncate(lock_.get(), 0) != 0 ||
      ::pwrite(lock_.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    return errno_status(errno, "write", path);
  return ok_status();
}

StatusOr<JobFolder::Opened> JobFolder::open(const std::string& output, const JobDescription& job,
                                            int64_t samples, int64_t samples_per_unit) {
  std::unique_ptr<JobFolder> folder(new JobFolder(JobPaths(output), job));
  TITAN_ASSIGN_OR_RETURN(const bool finished, output_is_finished(folder->paths_, job));
  if (finished) return Opened{.already_finished = true, .folder = nullptr};
  std::error_code error;
  fs::create_directories(folder->paths_.work() / "units", error);
  if (error) return errno_status(error.value(), "make folder", folder->paths_.work().string());
  TITAN_RETURN_IF_ERROR(folder->lock());
  folder->samples_ = samples;
  folder->samples_per_unit_ = samples_per_unit;
  if (fs::exists(folder->paths_.manifest(), error)) {
    TITAN_RETURN_IF_ERROR(folder->read_manifest());
  } else {
    TITAN_RETURN_IF_ERROR(folder->write_manifest(/*finished=*/false, {}));
  }
  folder->num_units_ =
      (folder->samples_ + folder->samples_per_unit_ - 1) / folder->samples_per_unit_;
  TITAN_RETURN_IF_ERROR(folder->remove_leftovers());
  return Opened{.already_finished = false, .folder = std::move(folder)};
}

Status JobFolder::read_manifest() {
  TITAN_ASSIGN_OR_RETURN(const nlohmann::ordered_json json, read_json(paths_.manifest()));
  TITAN_ASSIGN_OR_RETURN(const JobDescription there, job_of(paths_.manifest(), json));
  TITAN_RETURN_IF_ERROR(check_same_job(paths_.work(), there, job_));
  const auto unit = json.find("samples_per_unit");
  if (unit == json.end() || !unit->is_number_integer() || unit->get<int64_t>() < 1)
    return data_loss("[preprocess] ", paths_.manifest().string(), " has no samples_per_unit",
                     kElsewhere);
  samples_per_unit_ = unit->get<int64_t>();
  finished_ = json.contains("finished") && json["finished"] == true;
  return ok_status();
}

Status JobFolder::write_manifest(bool finished, const nlohmann::ordered_json& more) const {
  nlohmann::ordered_json json = {{"version", kVersion},
                                 {"finished", finished},
                                 {"job", to_json(job_)},
                                 {"samples", samples_},
                                 {"samples_per_unit", samples_per_unit_}};
  for (const auto& [name, value] : more.items()) json[name] = value;
  return write_file_atomically(paths_.manifest().string(), dumped(json, 2));
}

/// What a killed process was writing: no record names it.
Status JobFolder::remove_leftovers() const {
  std::error_code error;
  for (const fs::path& folder : {paths_.work(), paths_.work() / "units"}) {
    std::vector<fs::path> leftovers;
    for (const auto& entry : fs::directory_iterator(folder, error))
      if (entry.path().filename().string().find(".tmp-") != std::string::npos)
        leftovers.push_back(entry.path());
    for (const fs::path& path : leftovers) fs::remove(path, error);
  }
  return error ? errno_status(error.value(), "tidy up", paths_.work().string()) : ok_status();
}

StatusOr<std::map<int64_t, UnitRecord>> JobFolder::done_units() const {
  std::map<int64_t, UnitRecord> done;
  if (finished_) return done;
  std::error_code ignored;
  for (int64_t unit = 0; unit < num_units_; ++unit) {
    const fs::path path = paths_.unit_record(unit);
    if (!fs::exists(path, ignored)) continue;
    TITAN_ASSIGN_OR_RETURN(done[unit], read_record(path));
  }
  return done;
}

Status JobFolder::finish(const EncodedFormat& format, const EncodedShapes& shapes) {
  if (finished_) return move_in_place();
  TITAN_ASSIGN_OR_RETURN(const auto done, done_units());
  TITAN_CHECK(static_cast<int64_t>(done.size()) == num_units_, "[preprocess] units are missing (",
              done.size(), " of ", num_units_, ")");
  std::vector<int64_t> filled;
  int64_t rows = 0, bytes = 0, num_skipped = 0;
  std::string skipped;
  for (const auto& [unit, record] : done) {
    if (record.rows > 0) filled.push_back(unit);
    rows += record.rows;
    bytes += record.bytes;
    num_skipped += static_cast<int64_t>(record.skipped.size());
    for (const SkippedSample& sample : record.skipped)
      skipped += dumped({{"sample", sample.index}, {"why", sample.why}});
  }
  if (filled.empty())
    return data_loss("[preprocess] no sample could be used; the first: ",
                     done.begin()->second.skipped.front().why);
  std::vector<std::pair<std::string, int64_t>> files;
  std::error_code ignored;
  for (std::size_t i = 0; i < filled.size(); ++i) {
    files.emplace_back(format.file_name(i, filled.size()), done.at(filled[i]).rows);
    const fs::path from = paths_.unit_file(filled[i]), to = paths_.work() / files.back().first;
    if (!fs::exists(from, ignored) && fs::exists(to, ignored)) continue;  // moved before a kill
    if (std::rename(from.c_str(), to.c_str()) != 0)
      return errno_status(errno, "give its final name to", from.string());
  }
  TITAN_RETURN_IF_ERROR(write_file_atomically((paths_.work() / "skipped.jsonl").string(), skipped));
  TITAN_RETURN_IF_ERROR(format.write_index(paths_.work().string(), shapes, files));
  TITAN_RETURN_IF_ERROR(write_manifest(
      /*finished=*/true, {{"rows", rows}, {"bytes", bytes}, {"skipped", num_skipped}}));
  finished_ = true;
  return move_in_place();
}

Status JobFolder::move_in_place() {
  std::error_code error;
  fs::remove_all(paths_.work() / "units", error);
  TITAN_RETURN_IF_ERROR(fsync_directory(paths_.work().string()));
  if (std::rename(paths_.work().c_str(), paths_.output().c_str()) != 0)
    return errno_status(errno, "move the finished folder to", paths_.output().string());
  // Only now: until the rename a second job finds the lock taken.
  fs::remove(paths_.output() / ".lock", error);
  return fsync_directory(paths_.output().parent_path().string());
}

}  // namespace titan::preprocess
