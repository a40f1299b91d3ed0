#include "titan/parallel/stall_judge.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <utility>

namespace titan::parallel {
namespace {

/// "0-2, 5"
std::string rank_list(const std::vector<int>& ranks) {
  std::string text;
  for (std::size_t i = 0; i < ranks.size();) {
    std::size_t end = i + 1;
    while (end < ranks.size() && ranks[end] == ranks[end - 1] + 1) ++end;
    text += str_cat(text.empty() ? "" : ", ", ranks[i]);
    if (end - i > 1) text += str_cat(end - i == 2 ? ", " : "-", ranks[end - 1]);
    i = end;
  }
  return text;
}

std::string named(const std::vector<int>& ranks) {
  return str_cat(ranks.size() == 1 ? "rank " : "ranks ", rank_list(ranks));
}

std::string seconds(double s) { return str_cat(std::llround(s), " s"); }

}  // namespace

StallJudge::StallJudge(int world_size, const StallLimits& limits)
    : limits_(limits), ranks_(static_cast<std::size_t>(world_size)) {}

void StallJudge::take(Rank& rank, const std::optional<Beat>& beat) {
  if (!beat) return;
  if (!rank.heard || beat->count != rank.last.count) rank.beat_at = observed_s_;
  if (!rank.heard || beat->progress != rank.last.progress) {
    if (rank.heard && rank.last.patient && limits_.learn)
      limits_.stall_s = std::max(limits_.stall_s, 2 * (observed_s_ - rank.progress_at));
    rank.progress_at = observed_s_;
  }
  rank.heard = true;
  rank.last = *beat;
}

bool StallJudge::patient() const {
  return std::any_of(ranks_.begin(), ranks_.end(), [](const Rank& rank) {
    return !rank.heard || (rank.last.patient && !rank.last.left);
  });
}

double StallJudge::limit() const {
  return patient() ? std::max(limits_.patient_s, limits_.stall_s) : limits_.stall_s;
}

std::optional<StallReport> StallJudge::observe(double now_s,
                                               const std::vector<std::optional<Beat>>& beats) {
  const double since = last_now_s_ ? now_s - *last_now_s_ : 0;
  last_now_s_ = now_s;
  observed_s_ += std::clamp(since, 0.0, 3 * limits_.interval_s);
  for (std::size_t r = 0; r < ranks_.size(); ++r) take(ranks_[r], beats[r]);
  std::optional<StallReport> report = silent_ranks();
  if (!report) report = stalled_ranks();
  if (report) report->text = str_cat("[stall] ", report->text, table());
  return report;
}

/// A rank that was never heard may still be setting up: that has its own time limit.
std::optional<StallReport> StallJudge::silent_ranks() const {
  std::vector<int> silent;
  double longest = 0;
  for (std::size_t r = 0; r < ranks_.size(); ++r) {
    const Rank& rank = ranks_[r];
    const double idle = observed_s_ - rank.beat_at;
    if (rank.last.left || idle < (rank.heard ? limits_.stall_s : limits_.patient_s)) continue;
    silent.push_back(static_cast<int>(r));
    longest = std::max(longest, idle);
  }
  if (silent.empty()) return std::nullopt;
  return StallReport{.kind = StallReport::Kind::kSilent,
                     .culprits = silent,
                     .text = str_cat(named(silent), silent.size() == 1 ? " has" : " have",
                                     " not been heard of for ", seconds(longest),
                                     " (frozen, or the host is gone or not reached any more)")};
}

/// Those that have done least of the earliest step; empty where all are in the same place.
std::vector<int> StallJudge::ranks_behind() const {
  std::vector<int> behind;
  std::pair<std::int64_t, std::int64_t> least;
  std::size_t counted = 0;
  for (std::size_t r = 0; r < ranks_.size(); ++r) {
    const Beat& beat = ranks_[r].last;
    if (beat.left || !ranks_[r].heard) continue;
    const std::pair place{beat.step, beat.of_step};
    if (counted++ == 0 || place < least) {
      behind.clear();
      least = place;
    }
    if (place == least) behind.push_back(static_cast<int>(r));
  }
  return behind.size() < counted ? behind : std::vector<int>{};
}

std::optional<StallReport> StallJudge::stalled_ranks() const {
  std::vector<int> data, busy;
  double idle = std::numeric_limits<double>::infinity();
  std::string collective;
  for (std::size_t r = 0; r < ranks_.size(); ++r) {
    const Rank& rank = ranks_[r];
    if (rank.last.left || !rank.heard) continue;
    const double own = observed_s_ - rank.progress_at;
    if (own < limit() || !rank.last.judged) return std::nullopt;
    idle = std::min(idle, own);
    if (rank.last.waits_for_data()) {
      data.push_back(static_cast<int>(r));
    } else if (!rank.last.waits_for_ranks()) {
      busy.push_back(static_cast<int>(r));
    } else {
      collective = rank.last.collective;
    }
  }
  if (std::isinf(idle)) return std::nullopt;
  const auto place = [&](const std::vector<int>& ranks) {
    return ranks_[static_cast<std::size_t>(ranks.front())].last.where();
  };
  const auto others = [&](const std::vector<int>& ranks) {
    return ranks.size() < ranks_.size() ? "; the other ranks wait" : "";
  };
  const std::vector<int> behind = ranks_behind();
  if (!busy.empty()) {
    busy.insert(busy.end(), data.begin(), data.end());
    std::sort(busy.begin(), busy.end());
    // On a GPU ranks that wait for others look busy, too: the device waits.
    if (busy.size() == ranks_.size() && !behind.empty()) busy = behind;
    return StallReport{.kind = StallReport::Kind::kCompute,
                       .culprits = busy,
                       .text = str_cat(named(busy), " not getting on for ", seconds(idle), ": ",
                                       place(busy), others(busy))};
  }
  if (!data.empty())
    return StallReport{.kind = StallReport::Kind::kData,
                       .culprits = data,
                       .text = str_cat("data stall: ", named(data), ", for ", seconds(idle), ": ",
                                       place(data), others(data))};
  if (!behind.empty())
    collective = ranks_[static_cast<std::size_t>(behind.front())].last.collective;
  return StallReport{
      .kind = StallReport::Kind::kCommunication,
      .culprits = behind,
      .text = str_cat("communication stall: every rank waits for another, for ", seconds(idle),
                      ", in the collective ", collective,
                      behind.empty() ? "" : "; behind the others: " + named(behind))};
}

/// One line for all ranks in the same place, for a job may have a thousand.
std::string StallJudge::table() const {
  struct Place {
    std::string text;
    std::vector<int> ranks;
    double idle = 0;
  };
  std::vector<Place> places;
  for (std::size_t r = 0; r < ranks_.size(); ++r) {
    const Rank& rank = ranks_[r];
    const std::string text = rank.last.left ? "done"
                             : rank.heard   ? rank.last.where()
                                            : "never heard of";
    auto place = std::find_if(places.begin(), places.end(),
                              [&](const Place& known) { return known.text == text; });
    if (place == places.end()) {
      places.push_back(Place{.text = text, .ranks = {}, .idle = 0});
      place = std::prev(places.end());
    }
    place->ranks.push_back(static_cast<int>(r));
    place->idle = std::max(place->idle, observed_s_ - rank.progress_at);
  }
  std::string text;
  for (const Place& place : places)
    text += str_cat("\n  ", named(place.ranks), ": ", place.text, ", for ", seconds(place.idle));
  return text;
}

}  // namespace titan::parallel
