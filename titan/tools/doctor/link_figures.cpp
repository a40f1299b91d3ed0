#include "titan/tools/doctor/link_figures.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace titan::doctor {
namespace {

std::string text(const char* format, double value) {
  char buffer[48];
  std::snprintf(buffer, sizeof buffer, format, value);
  return buffer;
}

std::string name(const LinkFigures& links, int a, int b) {
  return links.hosts[a] == links.hosts[b]
             ? str_cat("ranks ", a, " and ", b, " on ", links.hosts[a])
             : str_cat("ranks ", a, " (", links.hosts[a], ") and ", b, " (", links.hosts[b], ")");
}

/// The pair of this kind with the smallest figure; first = -1 where there is none.
struct WorstPair {
  int first = -1, second = -1;
  double bytes_per_s = 0;
};
WorstPair worst(const LinkFigures& links, bool same_host) {
  WorstPair found;
  for (int a = 0; a < links.size(); ++a) {
    for (int b = a + 1; b < links.size(); ++b) {
      if ((links.hosts[a] == links.hosts[b]) != same_host) continue;
      if (found.first < 0 || links.bytes_per_s[a][b] < found.bytes_per_s)
        found = {a, b, links.bytes_per_s[a][b]};
    }
  }
  return found;
}

void judge_kind(const LinkFigures& links, bool same_host, Section& section) {
  const WorstPair pair = worst(links, same_host);
  if (pair.first < 0) return;
  const char* topic = same_host ? "in a host" : "between hosts";
  const double median = links.median_bytes_per_s(same_host);
  const double latency = links.latency_s[pair.first][pair.second];
  const std::string figures =
      str_cat("median ", text("%.2f GB/s", 1e-9 * median),
              "; the slowest: ", name(links, pair.first, pair.second), ", ",
              text("%.2f GB/s", 1e-9 * pair.bytes_per_s), ", ", text("%.0f us", 1e6 * latency));
  constexpr double kAlike = 0.5;  // of the median: links of one kind differ by less
  if (!(pair.bytes_per_s > 0) || !std::isfinite(pair.bytes_per_s))
    section.fail(topic, "no figure for " + name(links, pair.first, pair.second),
                 "start the ranks again; if it stays, look at that host's network");
  else if (pair.bytes_per_s < kAlike * median)
    section.warn(topic, figures,
                 same_host ? "nvidia-smi topo -m shows how the devices are joined"
                           : "that pair slows every collective down: look at cable, port and "
                             "adapter of both hosts, GLOO_SOCKET_IFNAME, NCCL_SOCKET_IFNAME");
  else
    section.ok(topic, figures);
}

}  // namespace

double LinkFigures::median_bytes_per_s(bool same_host) const {
  std::vector<double> found;
  for (int a = 0; a < size(); ++a)
    for (int b = a + 1; b < size(); ++b)
      if ((hosts[a] == hosts[b]) == same_host) found.push_back(bytes_per_s[a][b]);
  if (found.empty()) return 0;
  const auto middle = found.begin() + static_cast<std::ptrdiff_t>(found.size() / 2);
  std::nth_element(found.begin(), middle, found.end());
  return *middle;
}

std::vector<std::vector<std::pair<int, int>>> pair_rounds(int world_size) {
  std::vector<std::vector<std::pair<int, int>>> rounds;
  constexpr int kOneByOne = 8;
  if (world_size <= kOneByOne) {
    for (int a = 0; a < world_size; ++a)
      for (int b = a + 1; b < world_size; ++b) rounds.push_back({{a, b}});
    return rounds;
  }
  // A tournament: one rank keeps its seat, the others move on by one; an odd one out rests.
  const int seats = world_size + world_size % 2;
  for (int round = 0; round + 1 < seats; ++round) {
    std::vector<std::pair<int, int>> pairs;
    const auto at_seat = [&](int seat) {
      return seat == 0 ? 0 : 1 + (seat - 1 + round) % (seats - 1);
    };
    for (int seat = 0; seat < seats / 2; ++seat) {
      const auto [low, high] = std::minmax({at_seat(seat), at_seat(seats - 1 - seat)});
      if (high < world_size) pairs.emplace_back(low, high);
    }
    rounds.push_back(std::move(pairs));
  }
  return rounds;
}

void judge_links(const LinkFigures& links, Section& section) {
  judge_kind(links, /*same_host=*/true, section);
  judge_kind(links, /*same_host=*/false, section);
  const std::string rate = text("%.2f GB/s", 1e-9 * links.all_reduce_bytes_per_s);
  if (links.all_reduce_bytes_per_s > 0)
    section.ok("all-reduce", rate + " bus bandwidth over all ranks (8 MiB)");
  else
    section.fail("all-reduce", "no figure", "start the ranks again");
}

void judge_clocks(const LinkFigures& links, Section& section) {
  int worst_rank = 0;
  for (int rank = 1; rank < links.size(); ++rank)
    if (std::abs(links.clock_offset_s[rank]) > std::abs(links.clock_offset_s[worst_rank]))
      worst_rank = rank;
  const double offset = links.clock_offset_s[worst_rank];
  const std::string seen =
      worst_rank == 0
          ? "all ranks agree"
          : str_cat("rank ", worst_rank, " (", links.hosts[worst_rank],
                    ") differs most from rank 0: ", text("%+.2f ms", 1e3 * offset), " (seen to ",
                    text("%.2f ms", 1e3 * links.clock_error_s[worst_rank]), ")");
  constexpr double kLate = 0.5, kWrong = 30;  // seconds: logs do not merge; time limits differ
  const std::string advice = "synchronise the hosts' clocks (chronyd, systemd-timesyncd)";
  if (std::abs(offset) > kWrong)
    section.fail("ranks' clocks", seen, advice);
  else if (std::abs(offset) > kLate)
    section.warn("ranks' clocks", seen, advice);
  else
    section.ok("ranks' clocks", seen);
}

std::string matrix_of(const LinkFigures& links) {
  constexpr int kShown = 16;
  if (links.size() < 3 || links.size() > kShown) return "";
  std::string table = "  GB/s above the diagonal, microseconds of a small message below\n        ";
  for (int b = 0; b < links.size(); ++b) table += text("%7.0f", b);
  for (int a = 0; a < links.size(); ++a) {
    table += "\n" + text("  %6.0f", a);
    for (int b = 0; b < links.size(); ++b) {
      table += a == b  ? "      -"
               : a < b ? text("%7.2f", 1e-9 * links.bytes_per_s[a][b])
                       : text("%7.0f", 1e6 * links.latency_s[b][a]);
    }
  }
  return table + "\n";
}

}  // namespace titan::doctor
