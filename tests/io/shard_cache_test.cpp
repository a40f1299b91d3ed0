#include "tests/support/catch.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>

#include "titan/io/remote/shard_cache.h"

#include "tests/io/remote_fixture.h"

namespace titan {
namespace {

using absl::StatusCode;
using Catch::Matchers::Contains;
using testing::can_serve;
using testing::Remote;

constexpr std::size_t kSize = 100'000;

ShardCache cache_of(const Remote& remote, std::uint64_t limit_bytes) {
  return *ShardCache::open(
      {.folder = remote.here.file("cache"), .limit_bytes = limit_bytes, .http = remote.options});
}

RemoteShard shard_of(const Remote& remote, const std::string& path) {
  const std::string url = remote.server.url(path);
  return {.url = url, .file = *http_stat(*remote_request(url), remote.options)};
}

int count(const std::string& text, const std::string& part) {
  int found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++found;
  return found;
}

TEST_CASE("A cache keeps its size: the longest unused shard goes, one in use stays", "[io]") {
  if (!can_serve()) TITAN_SKIP(testing::kNoServer);
  Remote remote;
  remote.options.deadline_s = 0.3;
  for (const char* name : {"a.tar", "b.tar", "c.tar"})
    remote.folder.write(name, name + testing::numbered_bytes(kSize));
  const RemoteShard a = shard_of(remote, "files/a.tar");
  const RemoteShard b = shard_of(remote, "files/b.tar");
  const RemoteShard c = shard_of(remote, "files/c.tar");
  const ShardCache cache = cache_of(remote, 2 * kSize + 20'000);
  CHECK_FALSE(cache.holds(a));
  std::string path;
  {
    const StatusOr<ShardLease> lease = cache.acquire(a);
    REQUIRE(lease.ok());
    path = lease->path();
    CHECK(path.ends_with("/a.tar"));
    CHECK(testing::slurp(path) == "a.tar" + testing::numbered_bytes(kSize));
  }
  REQUIRE(cache.acquire(b).ok());
  REQUIRE(cache.acquire(a).ok());  // used again: b is the oldest now
  REQUIRE(cache.set_note(b, "17 samples").ok());
  REQUIRE(cache.acquire(c).ok());
  CHECK(cache.holds(a));
  CHECK_FALSE(cache.holds(b));
  CHECK(cache.holds(c));
  CHECK(cache.note(b) == "17 samples");
  CHECK(cache.note(a).empty());
  CHECK(count(remote.log(), "GET /files/a.tar") == 1);

  {
    const ShardLease one = *cache.acquire(a);
    const ShardLease two = *cache.acquire(c);
    const Status full = cache.acquire(b).status();
    CHECK(full.code() == StatusCode::kResourceExhausted);
    CHECK_THAT(message_of(full), Contains("in use") && Contains("dataset.cache_gib"));
    CHECK(cache.holds(a));
    CHECK(cache.holds(c));
    // The owner is asked to let go of what it can spare.
    std::optional<ShardLease> spare = *cache.acquire(a);
    ShardCacheOptions options = cache.options();
    std::optional<ShardLease> held = *cache.acquire(c);
    options.spare = [&] { held.reset(); };
    CHECK(ShardCache::open(options)->acquire(b).status().code() == StatusCode::kResourceExhausted);
    CHECK_FALSE(held.has_value());
  }
  REQUIRE(cache.acquire(b).ok());
  CHECK_FALSE(cache.holds(a));

  const Status large = cache_of(remote, kSize / 2).acquire(a).status();
  CHECK(large.code() == StatusCode::kResourceExhausted);
  CHECK_THAT(message_of(large), Contains("more than the whole cache"));
  CHECK(cache.acquire({.url = remote.server.url("files/absent.tar"), .file = {}}).status().code() ==
        StatusCode::kNotFound);
}

TEST_CASE("No address leads out of the cache's folder", "[io]") {
  if (!can_serve()) TITAN_SKIP(testing::kNoServer);
  const Remote remote;
  const ShardCache cache = cache_of(remote, kSize);
  remote.folder.write("a", "small");
  const std::string data = remote.here.file("cache/data/");
  int leases = 0;
  for (const char* name : {"files/..%2F..%2Fa", "files/..", "files/.", "files/.hidden",
                           "files/a?/../../x", "files/a#/../../x", "files/%2e%2e"}) {
    RemoteShard shard{.url = remote.server.url(name),
                      .file = {.size_bytes = 5, .etag = {}, .last_modified = {}}};
    const StatusOr<ShardLease> lease = cache.acquire(shard);
    if (!lease.ok()) continue;  // the server has no such file
    ++leases;
    const std::string inside = lease->path().substr(data.size());
    INFO(lease->path());
    CHECK(lease->path().starts_with(data));
    CHECK(std::count(inside.begin(), inside.end(), '/') == 1);
    CHECK_FALSE(inside.substr(inside.find('/')).starts_with("/."));
  }
  CHECK(leases >= 2);
  // Nothing but the cache beside it.
  for (const auto& entry : std::filesystem::directory_iterator(remote.here.path()))
    CHECK(entry.path().filename() == "cache");
}

TEST_CASE("Another version of a file is another shard", "[io]") {
  if (!can_serve()) TITAN_SKIP(testing::kNoServer);
  const Remote remote;
  remote.folder.write("a.tar", "old bytes");
  const ShardCache cache = cache_of(remote, 1 << 20);
  const RemoteShard old = shard_of(remote, "files/a.tar");
  REQUIRE(cache.acquire(old).ok());
  remote.folder.write("a.tar", "new bytes");
  CHECK(testing::slurp(cache.acquire(old)->path()) == "old bytes");  // no request, still right
  CHECK(testing::slurp(cache.acquire(shard_of(remote, "files/a.tar"))->path()) == "new bytes");
  std::filesystem::remove_all(remote.here.file("cache"));
  const Status gone = cache_of(remote, 1 << 20).acquire(old).status();
  CHECK(gone.code() == StatusCode::kFailedPrecondition);
  CHECK_THAT(message_of(gone), Contains("another one now"));
}

TEST_CASE("Many threads want one shard: it is downloaded once", "[io]") {
  if (!can_serve()) TITAN_SKIP(testing::kNoServer);
  const Remote remote;
  const std::string bytes = testing::numbered_bytes(1'000'000);
  remote.folder.write("a.tar", bytes);
  const RemoteShard shard = shard_of(remote, "slow/a.tar");
  const ShardCache cache = cache_of(remote, 1 << 22);
  std::atomic<int> right = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([&] {
        const StatusOr<ShardLease> lease = cache.acquire(shard);
        if (lease.ok() && testing::slurp(lease->path()) == bytes) ++right;
      });
  }
  CHECK(right == 4);
  CHECK(count(remote.log(), "GET /slow/a.tar") == 1);
}

/// A process of its own that acquires `shard` and leaves with 0 where that went well.
pid_t acquire_in_child(const ShardCache& cache, const RemoteShard& shard) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(cache.acquire(shard).ok() ? 0 : 1);
  return child;
}

TEST_CASE("Two processes share a cache; one killed in a download leaves a part to go on with",
          "[io]") {
  if (!can_serve()) TITAN_SKIP(testing::kNoServer);
  const Remote remote;
  const std::string bytes = testing::numbered_bytes(3'000'000);  // a second on the slow way
  remote.folder.write("a.tar", bytes);
  const ShardCache cache = cache_of(remote, 1 << 23);
  // By the first byte: libcurl is not yet awake in this process when it forks.
  const RemoteShard shard = {.url = remote.server.url("slow/a.tar"), .file = {}};
  const pid_t first = acquire_in_child(cache, shard);
  const pid_t second = acquire_in_child(cache, shard);
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  ::kill(first, SIGKILL);
  int status = 0;
  ::waitpid(first, &status, 0);
  REQUIRE(::waitpid(second, &status, 0) == second);
  CHECK(status == 0);
  CHECK(cache.holds(shard));
  CHECK(testing::slurp(cache.acquire(shard)->path()) == bytes);
  CHECK(count(remote.log(), "GET /slow/a.tar") <= 2);

  const RemoteShard again = {.url = remote.server.url("slow/a.tar?again"), .file = {}};
  const pid_t killed = acquire_in_child(cache, again);
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  ::kill(killed, SIGKILL);
  ::waitpid(killed, &status, 0);
  CHECK(WIFSIGNALED(status));
  CHECK_FALSE(cache.holds(again));
  CHECK(testing::slurp(cache.acquire(again)->path()) == bytes);
  CHECK_THAT(remote.log(), Contains("GET /slow/a.tar?again bytes="));
}

}  // namespace
}  // namespace titan
