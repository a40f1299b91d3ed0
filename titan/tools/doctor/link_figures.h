// link_figures.h: what was measured between ranks, and what it says. No torch.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "titan/tools/doctor/finding.h"

namespace titan::doctor {

/// [from][to] with from < to; 0 elsewhere.
using PairFigures = std::vector<std::vector<double>>;

struct LinkFigures {
  std::vector<std::string> hosts = {};      ///< of each rank
  PairFigures latency_s = {};               ///< of a small message, one way
  PairFigures bytes_per_s = {};             ///< one way
  double all_reduce_bytes_per_s = 0;        ///< bus bandwidth: what each rank sends and receives
  std::vector<double> clock_offset_s = {};  ///< of each rank against rank 0
  std::vector<double> clock_error_s = {};   ///< half of the round trip it was seen through

  int size() const { return static_cast<int>(hosts.size()); }
  /// Median over the pairs on one host, or over those on two; 0 where there are none.
  double median_bytes_per_s(bool same_host) const;
};

/// Pairs of ranks that are measured at the same time, round after round: one pair a round up to 8
/// ranks, above that every rank with one other (or none).
std::vector<std::vector<std::pair<int, int>>> pair_rounds(int world_size);

/// Names the worst pair; fails what did not answer, warns of pairs far below their like.
void judge_links(const LinkFigures& links, Section& section);
void judge_clocks(const LinkFigures& links, Section& section);

/// Rows of latencies and bandwidths, for up to 16 ranks; "" above.
std::string matrix_of(const LinkFigures& links);

}  // namespace titan::doctor
