// text_cache.h: encodings of captions that come again.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <string>
#include <unordered_map>
#include <utility>

#include "titan/data/batch.h"

namespace titan::models {

/// The encodings of the captions used last. One thread.
class TextCache {
 public:
  explicit TextCache(std::size_t capacity) : capacity_(capacity) {}

  /// The fields of one caption, [1, ...] each: kept ones, or what `encode` makes of it.
  const NamedTensors& of(const std::string& caption,
                         const std::function<NamedTensors(const std::string&)>& encode) {
    if (const auto found = places_.find(caption); found != places_.end()) {
      newest_first_.splice(newest_first_.begin(), newest_first_, found->second);
      return newest_first_.front().second;
    }
    if (newest_first_.size() == capacity_) {
      places_.erase(newest_first_.back().first);
      newest_first_.pop_back();
    }
    newest_first_.emplace_front(caption, encode(caption));
    places_[caption] = newest_first_.begin();
    return newest_first_.front().second;
  }
  std::size_t size() const { return newest_first_.size(); }

 private:
  using Entry = std::pair<std::string, NamedTensors>;
  std::size_t capacity_;
  std::list<Entry> newest_first_;
  std::unordered_map<std::string, std::list<Entry>::iterator> places_;
};

}  // namespace titan::models
