#include "titan/tools/doctor/examination.h"

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include <ATen/Parallel.h>

#include "titan/base/log.h"
#include "titan/checkpoint/shared_folder.h"
#include "titan/data/dataset_path.h"
#include "titan/io/atomic_file.h"
#include "titan/parallel/cpu_share.h"
#include "titan/parallel/cuda_library.h"
#include "titan/parallel/process_group.h"
#include "titan/tools/doctor/job.h"
#include "titan/tools/doctor/links.h"

namespace fs = std::filesystem;

namespace titan::doctor {
namespace {

constexpr std::int64_t kDiskBytes = 64LL << 20;
constexpr std::int64_t kReadBytes = 256LL << 20;
constexpr std::chrono::milliseconds kClockTime{1000};

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%SZ", &parts);
  return text;
}

}  // namespace

Examination::Examination(const Request& request, const RankEnv& rank)
    : request_(request), config_(request.job.value_or(JobConfig())), rank_(rank) {}
Examination::~Examination() = default;

/// Into the section of that name.
void Examination::add(Section section) {
  const std::lock_guard lock(mutex_);
  for (Section& one : sections_) {
    if (one.title != section.title) continue;
    for (Finding& finding : section.findings) one.findings.push_back(std::move(finding));
    return;
  }
  sections_.push_back(std::move(section));
}

void Examination::choose_device() {
  driver_ = read_driver();
  host_ = read_host();
  const int threads = parallel::threads_per_rank(rank_.local_world_size);
  at::set_num_threads(config_.job.num_threads > 0 ? static_cast<int>(config_.job.num_threads)
                                                  : threads);
  // What stands in the way of a device is a finding of judge_driver's.
  if (!driver_.loaded || config_.job.device == "cpu") return;
  const StatusOr<c10::Device> chosen =
      parallel::choose_device(config_.job.device, rank_.local_rank);
  if (chosen.ok()) {
    device_ = *chosen;
    return;
  }
  Section devices{"devices"};
  devices.fail("device", message_of(chosen.status()), "start fewer ranks a host");
  add(std::move(devices));
}

/// What this rank sees for itself. Of a host only its first rank speaks.
Sections Examination::own_findings() const {
  Section versions{"versions"}, devices{"devices"}, host{"host"}, clocks{"clocks"};
  list_versions(driver_, versions);
  judge_driver(driver_, config_.job.device, devices);
  if (device_.is_cuda()) judge_device(read_device(device_.index()), devices);
  if (rank_.local_rank == 0) {
    judge_host(host_,
               {.world_size = rank_.world_size,
                .ranks_here = rank_.local_world_size,
                .threads_per_rank = at::get_num_threads(),
                .cuda = device_.is_cuda()},
               host);
    judge_clock(measure_clock(kClockTime), clocks);
    // It speaks for all ranks here; launchers number those of a host in a row.
    for (Section* section : {&host, &clocks})
      for (Finding& finding : section->findings)
        for (int i = 0; i < rank_.local_world_size; ++i) finding.ranks.push_back(rank_.rank + i);
  }
  return {versions, devices, host, clocks};
}

/// All ranks together. False: they did not come.
bool Examination::meet() {
  if (rank_.world_size == 1) return true;
  auto group = parallel::ProcessGroupGuard::create(
      {.env = rank_,
       .device = device_,
       .init_timeout = std::chrono::seconds(config_.comm.init_timeout_seconds),
       .train_timeout = std::chrono::seconds(config_.comm.train_timeout_seconds),
       .shared_memory = config_.comm.cpu_backend == "auto"});
  if (!group.ok()) {
    Section links{"links"};
    links.fail("ranks", message_of(group.status()),
               "the launcher must start all ranks and give them one MASTER_ADDR and MASTER_PORT "
               "that every host reaches (firewall, GLOO_SOCKET_IFNAME)");
    add(std::move(links));
    return false;
  }
  ranks_ = std::move(*group);
  if (!rank_.is_main()) return true;
  ranks_->on_peer_failure([this](const parallel::RankFailure& failure) {
    give_up(str_cat("rank ", failure.rank, " failed: ", failure.cause));
  });
  return true;
}

/// What every rank saw, as one; rank 0 keeps it.
bool Examination::gather(Sections own) {
  std::vector<Sections> by_rank;
  const bool met = meet();
  if (met && rank_.world_size > 1) {
    for (const std::string& text : ranks_->control().all_gather_text(sections_to_text(own))) {
      StatusOr<Sections> theirs = sections_of_text(text);
      by_rank.push_back(theirs.ok() ? std::move(*theirs) : Sections{});
    }
  } else {
    by_rank.push_back(std::move(own));
  }
  const std::lock_guard lock(mutex_);
  Sections joined = join_ranks(by_rank, {"titan", "LibTorch", "CUDA"});
  for (Section& one : sections_) joined.push_back(std::move(one));
  sections_ = std::move(joined);
  return met;
}

void Examination::check_links() {
  if (rank_.world_size == 1) return;
  links_ = measure_links(rank_, device_, ranks_->control());
  Section clocks{"clocks"}, links{"links"};
  judge_clocks(*links_, clocks);
  judge_links(*links_, links);
  add(std::move(clocks));
  add(std::move(links));
}

std::string Examination::checkpoint_folder() const {
  const std::string& run = config_.job.dump_folder;
  return (fs::path(run.empty() ? "outputs" : run) / config_.checkpoint.folder).string();
}

std::int64_t Examination::memory_available() const {
  return device_.is_cuda() ? read_device(device_.index()).free
                           : host_.memory_available / rank_.local_world_size;
}

void Examination::check_job_and_disks() {
  Section job{"job"}, disks{"disks"};
  CheckpointNeeds needs;
  if (request_.job) {
    check_job(config_,
              {.rank = rank_,
               .device = device_,
               .threads = at::get_num_threads(),
               .memory_available = memory_available(),
               .links = links_ ? &*links_ : nullptr},
              job, needs);
  }
  checkpoint_bytes_ = needs.bytes;
  judge_disk(measure_disk(checkpoint_folder(), kDiskBytes), needs, disks);
  const std::string data = request_.job ? wanted_dataset_path(config_) : "";
  if (data.find("://") != std::string::npos)
    disks.ok("data", data + ": on a server, not measured (titan bench loader does)");
  // A path that is not there is the data set's matter, which may need none.
  else if (std::error_code error; !data.empty() && fs::exists(data, error))
    judge_reading("data", data, measure_reading(data, kReadBytes), disks);
  add(std::move(disks));
  add(std::move(job));
}

void Examination::check_shared_folder() {
  if (rank_.world_size == 1) return;
  const auto exchange = [this](const std::string& text) -> StatusOr<std::vector<std::string>> {
    return ranks_->control().all_gather_text(text);
  };
  const Status shared =
      checkpoint::check_shared(existing_part(checkpoint_folder()), {rank_.rank, exchange});
  Section disks{"disks"};
  if (shared.ok())
    disks.ok("shared folder", "every rank sees what rank 0 writes");
  else
    disks.fail("shared folder", message_of(shared),
               "--job.dump_folder on a file system that all hosts mount");
  add(std::move(disks));
}

void Examination::check_config() {
  Section job{"job"};
  if (!request_.config_error.ok())
    job.fail("config", message_of(request_.config_error), "docs/config.md has every key");
  for (const std::string& warning : request_.warnings) job.warn("config", warning, "");
  add(std::move(job));
}

std::string Examination::title() const {
  return str_cat(
      "titan doctor, ", utc_now(), ": ", rank_.world_size,
      rank_.world_size == 1 ? " rank" : " ranks", " on ", device_.str(),
      request_.job_name.empty() ? ", no job named (--config)" : ", job " + request_.job_name);
}

/// Rank 0: the page, and the file for machines. Gives the exit code.
int Examination::publish() {
  const std::lock_guard lock(mutex_);
  const int code = exit_code_of(sections_);
  std::string page = page_of(title(), sections_, rank_.world_size);
  if (links_ && links_->size() > 2) page.append("\n").append(matrix_of(*links_));
  if (const char* file = std::getenv(kPageFile)) {
    std::ofstream(file) << code << "\n" << page;
  } else {
    std::fputs(page.c_str(), stdout);
    std::fflush(stdout);
  }
  if (request_.json.empty()) return code;
  nlohmann::json json = {{"world_size", rank_.world_size},
                         {"device", device_.str()},
                         {"job", request_.job_name},
                         {"exit_code", code},
                         {"checkpoint_bytes", checkpoint_bytes_},
                         {"findings", json_of(sections_)}};
  if (links_)
    json["links"] = {{"hosts", links_->hosts},
                     {"latency_s", links_->latency_s},
                     {"bytes_per_s", links_->bytes_per_s},
                     {"all_reduce_bytes_per_s", links_->all_reduce_bytes_per_s},
                     {"clock_offset_s", links_->clock_offset_s}};
  const std::string text = json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
  const Status written = write_file_atomically(request_.json, text + "\n");
  if (written.ok()) return code;
  TITAN_LOG(ERROR) << message_of(written);
  return 1;
}

/// The page of what there is, with the cause.
int Examination::give_up(const std::string& cause) {
  Section links{"links"};
  links.fail("ranks", cause, "that rank's own lines say more (LOG_RANK names whose are shown)");
  add(std::move(links));
  return publish();
}

int Examination::run() {
  try {
    choose_device();
    const bool met = gather(own_findings());
    if (met) {
      check_links();
      if (rank_.is_main()) check_job_and_disks();
      check_shared_folder();
    }
    if (ranks_) {
      ranks_->on_peer_failure({});
      ranks_->close();
    }
    if (!rank_.is_main()) return met ? 0 : 1;
    check_config();
    return publish();
  } catch (const std::exception& error) {
    const std::string cause = error.what();
    TITAN_LOG(ERROR) << cause;
    if (ranks_) ranks_->report_failure(cause, 1);
    if (rank_.is_main()) give_up(cause.substr(0, cause.find('\n')));
    if (rank_.world_size > 1) parallel::end_process(1);
    return 1;
  }
}

}  // namespace titan::doctor
