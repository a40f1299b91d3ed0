// Captions a second of a tokenizer, on one thread and on several.
//
//   tokenizer_bench t5 SPIECE_MODEL CAPTIONS LENGTH THREADS
//   tokenizer_bench clip VOCAB_JSON MERGES_TXT CAPTIONS LENGTH THREADS
//
// CAPTIONS is a text file, one a line, repeated up to 200,000. Prints one JSON object: the best of
// five passes; scripts/bench_tokenizers.py runs it beside its rivals.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "titan/tokenizers/clip_tokenizer.h"
#include "titan/tokenizers/t5_tokenizer.h"

namespace {

constexpr std::size_t kNumCaptions = 200'000;

std::vector<std::string> read_lines(const std::string& path) {
  std::vector<std::string> lines, all;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  while (!lines.empty() && all.size() < kNumCaptions)
    all.push_back(lines[all.size() % lines.size()]);
  return all;
}

/// Captions a second, the best of five.
double rate(const titan::Tokenizer& tokenizer, const std::vector<std::string>& texts,
            std::int64_t length, int num_threads) {
  double best = 0;
  for (int pass = 0; pass < 5; ++pass) {
    const auto begin = std::chrono::steady_clock::now();
    const auto ids = titan::encode_all(tokenizer, texts, length, num_threads);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    if (ids.empty()) return 0;
    best = std::max(best, static_cast<double>(texts.size()) / seconds.count());
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  const bool t5 = args.size() == 5 && args[0] == "t5";
  if (!t5 && (args.size() != 6 || args[0] != "clip")) {
    std::fprintf(stderr,
                 "usage: tokenizer_bench t5 SPIECE_MODEL | clip VOCAB_JSON MERGES_TXT  CAPTIONS "
                 "LENGTH THREADS\n");
    return 2;
  }
  const auto tokenizer =
      t5 ? titan::open_t5_tokenizer(args[1]) : titan::open_clip_tokenizer(args[1], args[2]);
  if (!tokenizer.ok()) {
    std::fprintf(stderr, "%s\n", titan::message_of(tokenizer.status()).c_str());
    return 2;
  }
  const std::vector<std::string> texts = read_lines(args[args.size() - 3]);
  const std::int64_t length = std::atoll(args[args.size() - 2].c_str());
  const int num_threads = std::atoi(args.back().c_str());
  std::printf("{\"one_thread\": %.0f, \"threads\": %d, \"captions_per_s\": %.0f}\n",
              rate(**tokenizer, texts, length, 1), num_threads,
              rate(**tokenizer, texts, length, num_threads));
  return 0;
}
