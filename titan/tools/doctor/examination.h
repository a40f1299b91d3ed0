// examination.h: the order in which `titan doctor` looks at things, on every rank of a job.
#pragma once

#include <c10/core/Device.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "titan/base/rank_env.h"
#include "titan/tools/doctor/device.h"
#include "titan/tools/doctor/disk.h"
#include "titan/tools/doctor/finding.h"
#include "titan/tools/doctor/host.h"
#include "titan/tools/doctor/link_figures.h"
#include "titan/tools/doctor/request.h"

namespace titan::parallel {
class ProcessGroupGuard;
}

namespace titan::doctor {

/// Names the file in which rank 0 leaves exit code and page, for the launcher of local ranks, which
/// would put their number before every line. Unset: the page goes to standard output.
inline constexpr const char* kPageFile = "TITAN_DOCTOR_PAGE";

class Examination {
 public:
  /// `request` outlives this object.
  Examination(const Request& request, const RankEnv& rank);
  ~Examination();

  /// Every rank calls. Rank 0 prints the page and gives its exit code. Ends the process where
  /// another rank fails in the middle, with the page of what there was.
  int run();

 private:
  void choose_device();
  Sections own_findings() const;
  bool meet();
  bool gather(Sections own);
  void check_links();
  void check_job_and_disks();
  void check_shared_folder();
  void check_config();
  int give_up(const std::string& cause);
  int publish();

  void add(Section section);
  std::string checkpoint_folder() const;
  std::int64_t memory_available() const;
  std::string title() const;

  const Request& request_;
  const JobConfig config_;
  const RankEnv rank_;
  c10::Device device_ = c10::kCPU;
  DriverFacts driver_;
  HostFacts host_;
  std::unique_ptr<parallel::ProcessGroupGuard> ranks_;
  std::optional<LinkFigures> links_;
  std::int64_t checkpoint_bytes_ = 0;  ///< of the job; 0 = not known
  std::mutex mutex_;  ///< of what follows: the failure watch's thread may publish it
  Sections sections_;
};

}  // namespace titan::doctor
