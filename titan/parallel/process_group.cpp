#include "titan/parallel/process_group.h"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <future>
#include <iostream>
#include <numeric>
#include <thread>
#include <utility>

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "titan/base/check.h"
#include "titan/base/environment.h"
#include "titan/base/log.h"
#include "titan/parallel/backend_registry.h"
#include "titan/parallel/cpu_share.h"
#include "titan/parallel/store_board.h"

namespace titan::parallel {
namespace {

constexpr std::chrono::seconds kPartingTimeout{30};  // between ranks that have all finished
constexpr std::chrono::seconds kWitnessTimeout{3};   // for watches that poll five times a second
constexpr std::chrono::seconds kReportTimeout{kWitnessTimeout + std::chrono::seconds(2)};

std::string first_line(const std::exception& error) {
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  const std::string text = torch_error ? torch_error->what_without_backtrace() : error.what();
  return text.substr(0, text.find('\n'));
}

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

std::string arrival_key(int rank) { return str_cat("titan/arrived/", rank); }

std::string absent_ranks(c10d::Store& store, int world_size) {
  std::string ranks;
  for (int r = 0; r < world_size; ++r) {
    if (!store.check({arrival_key(r)})) ranks += (ranks.empty() ? "" : ", ") + std::to_string(r);
  }
  return ranks;
}

void note_crowded_host(const RankEnv& env) {
  const int cores = available_cores();
  if (env.local_rank == 0 && env.local_world_size > cores) {
    TITAN_LOG(INFO) << "[parallel] more ranks than cores on this host (ranks="
                    << env.local_world_size << ", cores=" << cores << "): they take turns";
  }
}

}  // namespace

void end_process(int exit_code) {
  std::cout.flush();
  std::cerr.flush();
  std::fflush(nullptr);
  std::_Exit(exit_code);
}

StatusOr<std::unique_ptr<ProcessGroupGuard>> ProcessGroupGuard::create(
    const ProcessGroupOptions& options) {
  std::unique_ptr<ProcessGroupGuard> group(new ProcessGroupGuard(options));
  const Status opened = group->open();
  if (!opened.ok()) return opened;
  return group;
}

Status ProcessGroupGuard::open() {
  if (world_size() == 1) {
    closed_ = true;  // nothing to part from
    return ok_status();
  }
  note_crowded_host(options_.env);
  Status status = meet();
  if (status.ok()) {
    try {
      connect();
    } catch (const std::exception& error) {
      status = internal_error("[parallel] rank ", rank(),
                              " could not connect to the other ranks: ", first_line(error));
    }
  }
  if (status.ok()) return status;
  if (store_) {
    const RankFailure first = report_failure(message_of(status), exit_code_for(status));
    if (first.rank != rank()) {
      return internal_error("[parallel] ", first.text());
    }
  } else {
    closed_ = true;
  }
  return status;
}

Status ProcessGroupGuard::meet() {
  const RankEnv& env = options_.env;
  // torchrun's agent serves the store itself and says so; a restarted group gets a name space of
  // its own there.
  const bool agent_serves = environment("TORCHELASTIC_USE_AGENT_STORE") == "True";
  serves_store_ = env.rank == 0 && !agent_serves;
  const std::string where =
      str_cat("MASTER_ADDR=", env.master_addr, ", MASTER_PORT=", env.master_port);
  try {
    c10d::TCPStoreOptions tcp;
    tcp.port = static_cast<std::uint16_t>(env.master_port);
    tcp.isServer = serves_store_;
    tcp.waitWorkers = false;  // arrival is counted below, where absent ranks can be named
    tcp.timeout = options_.init_timeout;
    tcp.useLibUV = true;
    store_ = c10::make_intrusive<c10d::TCPStore>(env.master_addr, tcp);
  } catch (const std::exception& error) {
    const std::string cause = first_line(error);
    if (cause.find("EADDRINUSE") != std::string::npos ||
        cause.find("in use") != std::string::npos) {
      return invalid_argument("[parallel] port ", env.master_port,
                              " is in use; set MASTER_PORT to a free one (", where, ")");
    }
    return failed_precondition("[parallel] rank ", env.rank, " cannot reach rank 0's store (",
                               where, "): ", cause);
  }
  if (agent_serves) {
    store_ = c10::make_intrusive<c10d::PrefixStore>(
        "attempt_" + environment("TORCHELASTIC_RESTART_COUNT").value_or(""), store_);
  }
  try {
    store_->set(arrival_key(env.rank), std::string("1"));
    std::vector<std::string> arrivals;
    for (int r = 0; r < env.world_size; ++r) arrivals.push_back(arrival_key(r));
    store_->wait(arrivals, options_.init_timeout);
  } catch (const std::exception& error) {
    std::string absent;
    try {
      absent = absent_ranks(*store_, env.world_size);
    } catch (const std::exception&) {
      return failed_precondition(
          "[parallel] lost rank 0's store while waiting for the other ranks (", where,
          "): ", first_line(error));
    }
    return failed_precondition("[parallel] ranks missing after ", options_.init_timeout.count(),
                               " s: ", absent, " (world_size=", env.world_size, ", ", where, ")");
  }
  return ok_status();
}

void ProcessGroupGuard::connect() {
  const RankEnv& env = options_.env;
  watch_ = std::make_unique<FailureWatch>(
      store_->clone(), env.rank, [this, rank = env.rank](const RankFailure& failure) {
        const std::string cause = failure.text();  // a stall's has a line for every rank
        TITAN_LOG(ERROR) << "[parallel] " << cause.substr(0, cause.find('\n')) << "; rank " << rank
                         << " ends";
        {
          const std::lock_guard lock(last_words_mutex_);
          if (last_words_) last_words_(failure);
        }
        end_process(failure.exit_code);
      });
  std::vector<int64_t> everybody(static_cast<std::size_t>(env.world_size));
  std::iota(everybody.begin(), everybody.end(), 0);
  control_ = make_group("control", everybody, at::kCPU, options_.shared_memory);
}

Communicator ProcessGroupGuard::make_group(const std::string& name,
                                           const std::vector<int64_t>& ranks, at::Device device,
                                           bool shared_memory) {
  const auto mine = std::find(ranks.begin(), ranks.end(), rank());
  TITAN_CHECK(mine != ranks.end(), "[parallel] rank ", rank(), " is not of the group ", name);
  BackendRequest request;
  request.store = c10::make_intrusive<c10d::PrefixStore>("titan/group/" + name, store_);
  request.rank = static_cast<int>(mine - ranks.begin());
  request.size = static_cast<int>(ranks.size());
  request.device = device;
  request.timeout = options_.init_timeout;
  request.name = name;
  request.local_host = is_loopback(options_.env.master_addr);
  request.shared_memory = shared_memory;
  Communicator communicator(make_backend(request), device);
  // LibTorch 2.11's flight recorder adds a group to an unguarded map at the group's first
  // collective (pytorch/pytorch pull 179449): done here, on one thread, before a checkpoint's
  // writer thread can use one group while training uses the other.
  communicator.barrier();
  return communicator;
}

Communicator ProcessGroupGuard::open_group(const std::string& name,
                                           const std::vector<int64_t>& ranks,
                                           std::optional<bool> shared_memory) {
  if (ranks.size() == 1) return {};
  groups_.push_back(
      make_group(name, ranks, options_.device, shared_memory.value_or(options_.shared_memory)));
  return groups_.back();
}

void ProcessGroupGuard::use_train_timeout() {
  control_.set_timeout(options_.train_timeout);
  for (Communicator& group : groups_) group.set_timeout(options_.train_timeout);
}

void ProcessGroupGuard::on_peer_failure(std::function<void(const RankFailure&)> last_words) {
  const std::lock_guard lock(last_words_mutex_);
  last_words_ = std::move(last_words);
}

std::unique_ptr<BeatBoard> ProcessGroupGuard::open_board() {
  if (!store_) return nullptr;
  return open_store_board(store_->clone(), rank(), world_size(), serves_store_);
}

RankFailure ProcessGroupGuard::report_failure(const std::string& cause, int exit_code) noexcept {
  const RankFailure own{.rank = rank(), .exit_code = exit_code, .cause = cause};
  if (closed_ || failed_ || !store_) return own;
  failed_ = true;
  try {
    // On a thread of its own: a frozen rank 0 leaves a call to its store without an answer.
    auto first = std::make_shared<std::promise<RankFailure>>();
    std::future<RankFailure> answer = first->get_future();
    std::thread([first, own, store = store_, serves = serves_store_, ranks = world_size()] {
      try {
        const RankFailure posted = post_failure(*store, own);
        if (serves) await_witnesses(*store, own.rank, ranks, kWitnessTimeout);
        first->set_value(posted);
      } catch (...) {
        first->set_exception(std::current_exception());
      }
    }).detach();
    if (answer.wait_for(kReportTimeout) == std::future_status::ready) return answer.get();
    TITAN_LOG(WARNING) << "[parallel] rank 0's store does not answer: the other ranks could not be "
                          "told of this failure";
  } catch (const std::exception& error) {
    TITAN_LOG(WARNING) << "[parallel] the other ranks could not be told of this failure: "
                       << first_line(error);
  }
  return own;
}

void ProcessGroupGuard::close() {
  if (closed_) return;
  watch_.reset();  // first: a rank that has left must not look like one that failed
  const auto meet_again = [&](const char* name) {
    const std::string key = str_cat("titan/", name);
    if (store_->add(key + "/count", 1) == world_size()) store_->set(key, std::string("1"));
    if (serves_store_ || std::string(name) == "done") store_->wait({key}, kPartingTimeout);
  };
  meet_again("done");  // nobody takes down a connection that another still uses
  for (Communicator& group : groups_) group.close();
  control_.close();
  closed_ = true;
  meet_again("left");  // the server goes last
  store_.reset();
}

ProcessGroupGuard::~ProcessGroupGuard() {
  if (closed_) return;
  report_failure(str_cat("rank ", rank(), " ended early"), 1);
  watch_.reset();
  for (Communicator& group : groups_) group.abandon();
  control_.abandon();
  (void)store_.release();
}

}  // namespace titan::parallel
