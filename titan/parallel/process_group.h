// process_group.h: this process among the ranks of the job: rendezvous, communicators, orderly end.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include "titan/base/rank_env.h"
#include "titan/base/status.h"
#include "titan/parallel/communicator.h"
#include "titan/parallel/failure_watch.h"

namespace titan::parallel {

class BeatBoard;

struct ProcessGroupOptions {
  RankEnv env;
  at::Device device = at::kCPU;            ///< of open_group
  std::chrono::seconds init_timeout{300};  ///< until use_train_timeout()
  std::chrono::seconds train_timeout{100};
  bool shared_memory = true;  ///< CPU tensors among ranks of one host; else Gloo carries them
};

/// Owns store, communicators and the failure watch. One rank: nothing is opened, every communicator
/// is a group of one.
///
/// Ends in one of two ways. close(): all ranks are done; they part together. Otherwise
/// (report_failure, or destruction without close): the cause is posted, the other ranks end,
/// connections are left to the end of the process, which the caller brings about with
/// end_process(): static destructors may not run while their threads live.
class ProcessGroupGuard {
 public:
  /// Meets the other ranks at MASTER_ADDR:MASTER_PORT (rank 0 serves the store, unless torchrun's
  /// agent does). Errors: invalid_argument where the port is taken, failed_precondition where ranks
  /// or the master did not come in time (named).
  static StatusOr<std::unique_ptr<ProcessGroupGuard>> create(const ProcessGroupOptions& options);
  ~ProcessGroupGuard();
  ProcessGroupGuard(const ProcessGroupGuard&) = delete;
  ProcessGroupGuard& operator=(const ProcessGroupGuard&) = delete;

  int rank() const { return options_.env.rank; }
  int world_size() const { return options_.env.world_size; }

  /// Connects some of the ranks (global numbers in order, this one among them) for tensors on
  /// options.device. All ranks of the job open their groups in the same order; a name belongs to
  /// one set of ranks. Closed with this object. `shared_memory` instead of the options', if given.
  /// Throws titan::Error where they do not meet.
  Communicator open_group(const std::string& name, const std::vector<int64_t>& ranks,
                          std::optional<bool> shared_memory = std::nullopt);
  /// Small messages between hosts' memories, with connections of its own: flags,
  /// metrics, texts, checkpoints.
  Communicator& control() { return control_; }

  /// Called when the first step has ended: from now on a rank waits for others no longer than
  /// train_timeout.
  void use_train_timeout();

  /// Called (on the watch's thread) when another rank has failed, right before this process ends;
  /// an empty function takes it back. What it uses must be there until then.
  void on_peer_failure(std::function<void(const RankFailure&)> last_words);

  /// Where heartbeats go, with a connection of its own; null in a job of one rank. Its end_job() is
  /// report_failure() for whoever is not the training thread.
  std::unique_ptr<BeatBoard> open_board();

  /// Tells the other ranks why this one ends and which exit code the job should have; returns the
  /// failure that was first (this one or another rank's). Gives up after a few seconds where the
  /// store does not answer. Does not end this process.
  RankFailure report_failure(const std::string& cause, int exit_code) noexcept;

  /// Orderly end; every rank calls it after its last collective.
  void close();

 private:
  explicit ProcessGroupGuard(const ProcessGroupOptions& options) : options_(options) {}
  Status open();
  Status meet();
  void connect();
  Communicator make_group(const std::string& name, const std::vector<int64_t>& ranks,
                          at::Device device, bool shared_memory);

  ProcessGroupOptions options_;
  c10::intrusive_ptr<c10d::Store> store_;
  bool serves_store_ = false;
  std::vector<Communicator> groups_;
  Communicator control_;
  std::mutex last_words_mutex_;
  std::function<void(const RankFailure&)> last_words_;
  std::unique_ptr<FailureWatch> watch_;
  bool closed_ = false;
  bool failed_ = false;
};

/// Flushes the standard streams and ends the process without static destructors. For the paths on
/// which threads of LibTorch may still be running.
[[noreturn]] void end_process(int exit_code);

}  // namespace titan::parallel
