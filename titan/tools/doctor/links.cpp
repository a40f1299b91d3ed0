#include "titan/tools/doctor/links.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <unistd.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <tuple>
#include <utility>

#include "titan/parallel/backend_registry.h"
#include "titan/parallel/device_services.h"

namespace titan::doctor {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds kTimeout{60};  // for messages that take milliseconds
constexpr int kSmallRounds = 30;
constexpr int kLargeRounds = 4;
constexpr int64_t kSmallFloats = 2;
constexpr int64_t kLargeFloats = 2 << 20;  // 8 MiB

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string host_name() {
  char name[256] = "unknown";
  gethostname(name, sizeof name - 1);
  return name;
}

/// A second way to rank 0's store, of our own: it may be given up without the job's noticing.
c10::intrusive_ptr<c10d::Store> open_store(const RankEnv& env) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<std::uint16_t>(env.master_port);
  options.isServer = false;
  options.waitWorkers = false;
  options.timeout = kTimeout;
  return c10::make_intrusive<c10d::PrefixStore>(
      "titan/doctor", c10::make_intrusive<c10d::TCPStore>(env.master_addr, options));
}

class LinkProbe {
 public:
  LinkProbe(const RankEnv& env, c10::Device device)
      : rank_(env.rank), size_(env.world_size), device_(device), store_(open_store(env)) {
    const bool local = env.local_world_size == env.world_size;
    backend_ =
        parallel::make_backend({.store = c10::make_intrusive<c10d::PrefixStore>("links", store_),
                                .rank = rank_,
                                .size = size_,
                                .device = device,
                                .timeout = kTimeout,
                                .name = "doctor",
                                .local_host = local && (env.master_addr == "localhost" ||
                                                        env.master_addr.rfind("127.", 0) == 0)});
    const auto options = at::TensorOptions().device(device);
    small_ = at::ones({kSmallFloats}, options);
    large_ = at::ones({kLargeFloats}, options);
  }

  /// Of a pair that this rank is of: seconds of a small message and of 8 MiB, as `first` saw them.
  std::pair<double, double> pair(int first, int second) {
    const bool leads = rank_ == first;
    const int peer = leads ? second : first;
    ping(leads, peer, 3);  // connects
    const double small = ping(leads, peer, kSmallRounds) / (2 * kSmallRounds);
    transfer(leads, peer, 1);
    const double large = (transfer(leads, peer, kLargeRounds) - small) / kLargeRounds;
    return {small, large};
  }

  /// Seconds of one sum over all ranks of 8 MiB.
  double all_reduce() {
    parallel::Communicator all(backend_, device_);
    all.all_reduce_(large_);
    all.barrier();
    const Clock::time_point start = Clock::now();
    for (int i = 0; i < kLargeRounds; ++i) all.all_reduce_(large_, parallel::Reduction::kMax);
    wait_for_device();
    return seconds_since(start) / kLargeRounds;
  }

  /// This rank's clock against rank 0's, by the quickest of a few questions through the store; and
  /// half of its round trip.
  std::pair<double, double> clock_offset() {
    std::pair<double, double> best{0, 0};
    for (int other = 1; other < size_; ++other) {
      for (int i = 0; i < 5; ++i) {
        const std::string key = str_cat("clock/", other, "/", i);
        if (rank_ == 0) {
          store_->wait({key + "/asked"}, kTimeout);
          store_->set(key + "/answer", exact(wall_seconds()));
        } else if (rank_ == other) {
          const double asked = wall_seconds();
          store_->set(key + "/asked", std::string("1"));
          store_->wait({key + "/answer"}, kTimeout);
          const double half = (wall_seconds() - asked) / 2;
          const double offset = asked + half - std::stod(store_->get_to_str(key + "/answer"));
          if (i == 0 || half < best.second) best = {offset, half};
        }
      }
    }
    return best;
  }

 private:
  static std::string exact(double seconds) {
    char text[40];
    std::snprintf(text, sizeof text, "%.9f", seconds);
    return text;
  }
  void wait_for_device() {
    if (device_.is_cuda()) parallel::device_services()->synchronize(device_.index());
  }
  void send(at::Tensor tensor, int peer) {
    std::vector<at::Tensor> tensors{std::move(tensor)};
    backend_->send(tensors, peer, /*tag=*/0)->wait();
  }
  void receive(at::Tensor tensor, int peer) {
    std::vector<at::Tensor> tensors{std::move(tensor)};
    backend_->recv(tensors, peer, /*tag=*/0)->wait();
  }
  double ping(bool leads, int peer, int rounds) {
    wait_for_device();
    const Clock::time_point start = Clock::now();
    for (int i = 0; i < rounds; ++i) {
      if (leads) send(small_, peer);
      receive(small_, peer);
      if (!leads) send(small_, peer);
    }
    wait_for_device();
    return seconds_since(start);
  }
  /// With an answer at the end: it is there, not only sent.
  double transfer(bool leads, int peer, int rounds) {
    wait_for_device();
    const Clock::time_point start = Clock::now();
    for (int i = 0; i < rounds; ++i) leads ? send(large_, peer) : receive(large_, peer);
    leads ? receive(small_, peer) : send(small_, peer);
    wait_for_device();
    return seconds_since(start);
  }

  int rank_, size_;
  c10::Device device_;
  c10::intrusive_ptr<c10d::Store> store_;
  c10::intrusive_ptr<c10d::Backend> backend_;
  at::Tensor small_, large_;
};

/// Every rank's row of a figure that only one rank has seen; unseen ones are 0.
std::vector<double> shared(parallel::Communicator& control, const std::vector<double>& mine) {
  return control.all_reduce_values(mine, parallel::Reduction::kSum);
}

}  // namespace

LinkFigures measure_links(const RankEnv& env, c10::Device device, parallel::Communicator& control) {
  const int size = env.world_size;
  LinkFigures links;
  links.hosts = control.all_gather_text(host_name());
  LinkProbe probe(env, device);
  const auto cells = static_cast<std::size_t>(size) * static_cast<std::size_t>(size);
  std::vector<double> small(cells), large(cells), offsets(size), errors(size);
  for (const auto& round : pair_rounds(size)) {
    for (const auto& [first, second] : round) {
      if (env.rank != first && env.rank != second) continue;
      const auto [small_s, large_s] = probe.pair(first, second);
      if (env.rank != first) continue;
      small[first * size + second] = small_s;
      large[first * size + second] = 4.0 * kLargeFloats / std::max(large_s, 1e-9);
    }
    control.barrier();
  }
  const double reduced_s = probe.all_reduce();
  std::tie(offsets[env.rank], errors[env.rank]) = probe.clock_offset();
  small = shared(control, small);
  large = shared(control, large);
  links.clock_offset_s = shared(control, offsets);
  links.clock_error_s = shared(control, errors);
  const double slowest = control.all_reduce_values({reduced_s}, parallel::Reduction::kMax).front();
  links.all_reduce_bytes_per_s = 4.0 * kLargeFloats / slowest * 2 * (size - 1) / size;
  for (int rank = 0; rank < size; ++rank) {
    links.latency_s.emplace_back(small.begin() + rank * size, small.begin() + (rank + 1) * size);
    links.bytes_per_s.emplace_back(large.begin() + rank * size, large.begin() + (rank + 1) * size);
  }
  control.barrier();  // nobody takes down a connection that another still uses
  return links;
}

}  // namespace titan::doctor
