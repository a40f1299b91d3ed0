#include "titan/parallel/store_board.h"

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "titan/base/check.h"
#include "titan/parallel/failure_watch.h"

namespace titan::parallel {
namespace {

constexpr std::chrono::seconds kWitnessTime{3};  // for watches that poll five times a second

std::string beat_key(int rank) { return str_cat("titan/beat/", rank); }

class StoreBoard : public BeatBoard {
 public:
  StoreBoard(c10::intrusive_ptr<c10d::Store> store, int rank, int world_size, bool serves)
      : store_(std::move(store)),
        rank_(rank),
        serves_(serves),
        left_(static_cast<std::size_t>(world_size)) {}

  void publish(const std::string& beat) override {
    store_->set(beat_key(rank_), beat);
    store_->check({beat_key(rank_)});  // a set is not answered
  }

  std::vector<std::optional<std::string>> read() override {
    std::vector<std::optional<std::string>> beats(left_.size());
    std::vector<std::string> keys;
    std::vector<std::size_t> ranks;
    for (std::size_t r = 0; r < left_.size(); ++r) {
      left_[r] = left_[r] || store_->check({beat_key(static_cast<int>(r))});
      if (!left_[r]) continue;
      keys.push_back(beat_key(static_cast<int>(r)));
      ranks.push_back(r);
    }
    if (keys.empty()) return beats;
    const auto values = store_->multiGet(keys);  // one message for all
    for (std::size_t i = 0; i < ranks.size(); ++i)
      beats[ranks[i]].emplace(values[i].begin(), values[i].end());
    return beats;
  }

  void end_job(const std::string& cause, const std::vector<int>& deaf) override {
    post_failure(*store_, {.rank = rank_, .exit_code = 1, .cause = cause});
    if (serves_)
      await_witnesses(*store_, rank_, static_cast<int>(left_.size()), kWitnessTime, deaf);
  }

 private:
  c10::intrusive_ptr<c10d::Store> store_;
  int rank_;
  bool serves_;
  std::vector<bool> left_;  ///< by rank: it has left a beat
};

}  // namespace

std::unique_ptr<BeatBoard> open_store_board(c10::intrusive_ptr<c10d::Store> store, int rank,
                                            int world_size, bool serves) {
  return std::make_unique<StoreBoard>(std::move(store), rank, world_size, serves);
}

}  // namespace titan::parallel
