#include "titan/tokenizers/tokenizer.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>

namespace titan {
namespace {

constexpr std::size_t kTextsPerTurn = 64;  ///< few enough to share evenly, many enough to be cheap

}  // namespace

std::vector<std::int64_t> encode_all(const Tokenizer& tokenizer,
                                     const std::vector<std::string>& texts, std::int64_t length,
                                     int num_threads) {
  TITAN_CHECK(length > 0, "[tokenizer] length must be positive (", length, ")");
  const auto width = static_cast<std::size_t>(length);
  std::vector<std::int64_t> ids(texts.size() * width);
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::exception_ptr problem;
  const auto work = [&] {
    try {
      for (;;) {
        const std::size_t begin = next.fetch_add(kTextsPerTurn);
        if (begin >= texts.size()) return;
        const std::size_t end = std::min(begin + kTextsPerTurn, texts.size());
        for (std::size_t i = begin; i < end; ++i)
          tokenizer.encode(texts[i], std::span(ids).subspan(i * width, width));
      }
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex);
      problem = std::current_exception();
      next = texts.size();
    }
  };
  {
    const auto cores = std::max(1U, std::thread::hardware_concurrency());
    const std::size_t wanted = num_threads > 0 ? static_cast<std::size_t>(num_threads) : cores;
    const std::size_t turns = (texts.size() + kTextsPerTurn - 1) / kTextsPerTurn;
    std::vector<std::jthread> threads;
    for (std::size_t i = 1; i < std::min(wanted, turns); ++i) threads.emplace_back(work);
    work();
  }
  if (problem) std::rethrow_exception(problem);
  return ids;
}

Status check_vocabulary(const Tokenizer& tokenizer, std::int64_t embedding_rows,
                        const std::string& what) {
  if (tokenizer.vocabulary_size() <= embedding_rows) return ok_status();
  return invalid_argument("[", what, "] the tokenizer has ", tokenizer.vocabulary_size(),
                          " ids, the encoder's embedding only ", embedding_rows,
                          " rows: the tokenizer's files and the weights belong to different "
                          "models");
}

}  // namespace titan
