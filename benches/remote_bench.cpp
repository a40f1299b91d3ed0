// remote_bench: MB/s of shards from a server: into an empty cache, and read back out of it.
//
//   remote_bench URLS CACHE_FOLDER [THREADS]     URLS as training.dataset_path;
//   scripts/bench_remote.py
//
// Prints one line of JSON.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "titan/data/fetch_progress.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/remote/s3.h"
#include "titan/io/remote/shard_cache.h"
#include "titan/io/remote/shard_list.h"

namespace {

using titan::Status;

double seconds_of(const std::function<Status()>& work) {
  const auto start = std::chrono::steady_clock::now();
  if (const Status status = work(); !status.ok()) {
    std::fprintf(stderr, "%s\n", titan::message_of(status).c_str());
    std::exit(1);
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: remote_bench URLS CACHE_FOLDER [THREADS]\n", stderr);
    return 2;
  }
  const auto threads = static_cast<std::size_t>(argc > 3 ? std::atoi(argv[3]) : 8);
  std::filesystem::remove_all(argv[2]);
  const auto cache = titan::ShardCache::open({.folder = argv[2], .limit_bytes = 1ULL << 40});
  const auto shards = titan::list_shards(argv[1], {});
  if (!cache.ok() || !shards.ok()) {
    std::fprintf(stderr, "%s\n", titan::message_of(shards.status()).c_str());
    return 1;
  }
  std::vector<titan::RemoteShard> wanted(shards->size());
  const double ask_s = seconds_of([&] {
    return titan::for_each_parallel(wanted.size(), threads, [&](std::size_t i) -> Status {
      TITAN_ASSIGN_OR_RETURN(const auto request, titan::remote_request((*shards)[i].location));
      TITAN_ASSIGN_OR_RETURN(const auto file, titan::http_stat(request, {}));
      wanted[i] = {.url = (*shards)[i].location, .file = file};
      return titan::ok_status();
    });
  });
  double bytes = 0;
  for (const titan::RemoteShard& shard : wanted)
    bytes += static_cast<double>(shard.file.size_bytes.value_or(0));
  const auto each = [&](bool read) {
    return titan::for_each_parallel(wanted.size(), threads, [&](std::size_t i) -> Status {
      TITAN_ASSIGN_OR_RETURN(const auto lease, cache->acquire(wanted[i]));
      return read ? titan::read_file(lease.path(), 1ULL << 34).status() : titan::ok_status();
    });
  };
  const double fetch_s = seconds_of([&] { return each(/*read=*/false); });
  const double read_s = seconds_of([&] { return each(/*read=*/true); });
  constexpr int kLeases = 20'000;
  const double lease_s = seconds_of([&]() -> Status {
    for (int i = 0; i < kLeases; ++i)
      TITAN_RETURN_IF_ERROR(cache->acquire(wanted[i % wanted.size()]).status());
    return titan::ok_status();
  });
  std::printf(
      "{\"shards\": %zu, \"megabytes\": %.0f, \"ask_ms_per_shard\": %.2f, \"fetch_mb_s\": %.0f, "
      "\"cached_mb_s\": %.0f, \"lease_us\": %.1f}\n",
      wanted.size(), bytes / 1e6, 1e3 * ask_s / static_cast<double>(wanted.size()),
      bytes / 1e6 / fetch_s, bytes / 1e6 / read_s, 1e6 * lease_s / kLeases);
  return 0;
}
