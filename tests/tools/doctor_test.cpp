// Every check of `titan doctor` against values that are well and values that are not.
#include "tests/support/catch.h"

#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/support/temporary_folder.h"
#include "titan/tools/doctor/device.h"
#include "titan/tools/doctor/disk.h"
#include "titan/tools/doctor/finding.h"
#include "titan/tools/doctor/host.h"
#include "titan/tools/doctor/link_figures.h"
#include "titan/tools/doctor/request.h"

using namespace titan;
using namespace titan::doctor;
using Catch::Matchers::Contains;
using titan::testing::TemporaryFolder;

namespace {

constexpr std::int64_t kGiB = 1LL << 30;

HostFacts good_host() {
  return {.cpu = "Some CPU",
          .simd = "AVX-512",
          .cores = 16,
          .cores_of_host = 16,
          .memory = 64 * kGiB,
          .memory_available = 60 * kGiB,
          .huge_pages = "madvise",
          .open_files = 1 << 20,
          .open_files_most = 1 << 20,
          .locked_memory = -1,
          .shared_memory = 8 * kGiB,
          .shared_memory_free = 8 * kGiB};
}

/// The finding of a topic; a failing test where there is none.
Finding find(const Section& section, const std::string& topic) {
  for (const Finding& one : section.findings)
    if (one.topic == topic) return one;
  FAIL("no finding of " << topic);
  return {};
}

Finding host_finding(const HostFacts& host, const std::string& topic, const HostNeeds& needs = {}) {
  Section section{"host"};
  judge_host(host, needs, section);
  return find(section, topic);
}

LinkFigures even_links(int ranks, int per_host) {
  LinkFigures links;
  for (int rank = 0; rank < ranks; ++rank)
    links.hosts.push_back("host" + std::to_string(rank / per_host));
  links.latency_s.assign(ranks, std::vector<double>(ranks, 0));
  links.bytes_per_s = links.latency_s;
  for (int a = 0; a < ranks; ++a) {
    for (int b = a + 1; b < ranks; ++b) {
      const bool near = links.hosts[a] == links.hosts[b];
      links.latency_s[a][b] = near ? 5e-6 : 2e-5;
      links.bytes_per_s[a][b] = near ? 1e11 : 1e10;
    }
  }
  links.all_reduce_bytes_per_s = 1e10;
  links.clock_offset_s.assign(ranks, 0);
  links.clock_error_s.assign(ranks, 1e-4);
  return links;
}

}  // namespace

TEST_CASE("doctor: a good host has no warning", "[tools]") {
  Section section{"host"};
  judge_host(good_host(), {.world_size = 16, .ranks_here = 8, .threads_per_rank = 2, .cuda = true},
             section);
  for (const Finding& one : section.findings) {
    INFO(one.topic << ": " << one.text);
    CHECK(one.level == Level::kOk);
  }
  CHECK(section.findings.size() == 7);
}

TEST_CASE("doctor: bad values of a host are found and say what to do", "[tools]") {
  HostFacts host = good_host();
  SECTION("open files") {
    host.open_files = 256;
    host.open_files_most = 4096;
    const Finding found = host_finding(host, "open files", {.world_size = 8, .ranks_here = 8});
    CHECK(found.level == Level::kFail);
    CHECK_THAT(found.text, Contains("256 (about 304 are needed)"));
    CHECK_THAT(found.advice, Contains("ulimit -n"));
    host.open_files = 1024;
    CHECK(host_finding(host, "open files").level == Level::kWarn);
    host.open_files = host.open_files_most = 256;
    CHECK_THAT(host_finding(host, "open files").advice, Contains("limits.conf"));
    host.open_files = -1;
    CHECK(host_finding(host, "open files").text == "unlimited");
  }
  SECTION("locked memory matters where adapters read it") {
    host.locked_memory = 64 << 10;
    CHECK(host_finding(host, "locked memory").level == Level::kOk);
    const HostNeeds two_hosts{.world_size = 16, .ranks_here = 8, .cuda = true};
    CHECK(host_finding(host, "locked memory", two_hosts).level == Level::kWarn);
  }
  SECTION("/dev/shm") {
    host.shared_memory = host.shared_memory_free = 64 << 20;  // what Docker gives
    CHECK(host_finding(host, "/dev/shm").level == Level::kOk);
    const Finding found =
        host_finding(host, "/dev/shm", {.world_size = 8, .ranks_here = 8, .cuda = true});
    CHECK(found.level == Level::kFail);
    CHECK_THAT(found.advice, Contains("--shm-size"));
    host.shared_memory_free = -2;
    CHECK(host_finding(host, "/dev/shm").level == Level::kWarn);
  }
  SECTION("memory") {
    host.memory_available = kGiB / 4;
    CHECK(host_finding(host, "memory").level == Level::kFail);
    host.memory_available = 8 * kGiB;
    CHECK(host_finding(host, "memory").level == Level::kWarn);
    host.huge_pages = "never";
    CHECK(host_finding(host, "huge pages").level == Level::kWarn);
  }
  SECTION("more threads than cores") {
    host.cores = 2;
    const Finding found = host_finding(host, "threads", {.ranks_here = 2, .threads_per_rank = 2});
    CHECK(found.level == Level::kWarn);
    CHECK(found.advice == "--job.num_threads=1");
    CHECK_THAT(host_finding(host, "threads", {.ranks_here = 4}).advice,
               Contains("one rank a core"));
  }
  SECTION("a processor without vectors") {
    host.simd = "none";
    CHECK(host_finding(host, "vector units").level == Level::kWarn);
  }
}

TEST_CASE("doctor: this host can be read", "[tools]") {
  const HostFacts host = read_host();
  CHECK(host.cores >= 1);
  CHECK(host.memory > 0);
  CHECK(host.memory_available > 0);
  CHECK(host.memory_available <= host.memory);
  CHECK(host.open_files != -2);
}

TEST_CASE("doctor: a clock that jumps, drifts or was never set is found", "[tools]") {
  const auto judged = [](const ClockFacts& clock) {
    Section section{"clocks"};
    judge_clock(clock, section);
    return section.findings.at(0);
  };
  CHECK(judged({.wall_s = 1.0001, .steady_s = 1, .year = 2026}).level == Level::kOk);
  CHECK(judged({.wall_s = 1.01, .steady_s = 1, .year = 2026}).level == Level::kWarn);
  const Finding jump = judged({.wall_s = -3599, .steady_s = 1, .year = 2026});
  CHECK(jump.level == Level::kFail);
  CHECK_THAT(jump.text, Contains("it jumped: -3600000.00 ms"));
  CHECK(judged({.wall_s = 1, .steady_s = 1, .year = 1970}).level == Level::kFail);
  const ClockFacts here = measure_clock(std::chrono::milliseconds(50));
  CHECK(here.steady_s >= 0.05);
}

TEST_CASE("doctor: a driver that is too old, missing or useless is found", "[tools]") {
  const auto judged = [](const DriverFacts& driver, const std::string& wanted) {
    Section section{"devices"};
    judge_driver(driver, wanted, section);
    return section.findings.at(0);
  };
  const DriverFacts none{.reason = "no NVIDIA driver was found (libcuda.so.1)"};
  CHECK(judged(none, "auto").level == Level::kOk);
  CHECK(judged(none, "cuda").level == Level::kFail);
  const DriverFacts good{.present = true, .driver = 13000, .runtime = 13000, .loaded = true};
  CHECK(judged(good, "auto").level == Level::kOk);
  DriverFacts old = good;
  old.driver = 12040;
  old.loaded = false;
  const Finding found = judged(old, "auto");
  CHECK(found.level == Level::kFail);
  CHECK_THAT(found.text, Contains("up to 12.4"));
  CHECK_THAT(found.advice, Contains("series 580"));
  CHECK(judged(old, "cpu").level == Level::kWarn);
  DriverFacts unused = good;
  unused.loaded = false;
  unused.reason = "this build has no CUDA library";
  CHECK_THAT(judged(unused, "auto").text, Contains("no CUDA library"));
  CHECK(judged(unused, "cpu").level == Level::kOk);
  Section section{"devices"};
  judge_device({.name = "NVIDIA H200", .capability = 90, .total = 140 * kGiB, .free = 100 * kGiB},
               section);
  CHECK(section.findings.at(0).level == Level::kWarn);
  CHECK_THAT(section.findings.at(0).text, Contains("compute capability 9.0"));
}

TEST_CASE("doctor: a slow link is named", "[tools]") {
  LinkFigures links = even_links(8, 4);
  Section good{"links"};
  judge_links(links, good);
  for (const Finding& one : good.findings) CHECK(one.level == Level::kOk);
  CHECK(good.findings.size() == 3);
  links.bytes_per_s[2][6] = 1e9;
  Section slow{"links"};
  judge_links(links, slow);
  CHECK(find(slow, "in a host").level == Level::kOk);
  const Finding found = find(slow, "between hosts");
  CHECK(found.level == Level::kWarn);
  CHECK_THAT(found.text, Contains("ranks 2 (host0) and 6 (host1), 1.00 GB/s, 20 us"));
  links.bytes_per_s[0][1] = 0;
  Section dead{"links"};
  judge_links(links, dead);
  CHECK(find(dead, "in a host").level == Level::kFail);
  CHECK_THAT(matrix_of(links), Contains("1.00"));
  CHECK(matrix_of(even_links(2, 2)).empty());
}

TEST_CASE("doctor: clocks of ranks that differ are named", "[tools]") {
  LinkFigures links = even_links(4, 2);
  const auto judged = [&] {
    Section section{"clocks"};
    judge_clocks(links, section);
    return section.findings.at(0);
  };
  CHECK(judged().level == Level::kOk);
  links.clock_offset_s[3] = -1.5;
  CHECK(judged().level == Level::kWarn);
  CHECK_THAT(judged().text, Contains("rank 3 (host1) differs most from rank 0: -1500.00 ms"));
  links.clock_offset_s[1] = 90;
  CHECK(judged().level == Level::kFail);
}

TEST_CASE("doctor: every pair of ranks meets once, no rank twice in a round", "[tools]") {
  for (const int ranks : {1, 2, 3, 8, 9, 16, 17, 64}) {
    std::set<std::pair<int, int>> seen;
    for (const auto& round : pair_rounds(ranks)) {
      std::set<int> busy;
      for (const auto& [a, b] : round) {
        CHECK(a < b);
        CHECK(b < ranks);
        CHECK(seen.insert({a, b}).second);
        CHECK(busy.insert(a).second);
        CHECK(busy.insert(b).second);
      }
    }
    CHECK(seen.size() == static_cast<std::size_t>(ranks * (ranks - 1) / 2));
  }
  CHECK(pair_rounds(64).size() == 63);
}

TEST_CASE("doctor: a disk is tried, and checkpoints counted", "[tools]") {
  const TemporaryFolder folder;
  const std::int64_t bytes = 3 << 20;  // not a multiple of the block
  const DiskFacts disk = measure_disk(folder / "run/checkpoint", bytes);
  CHECK(disk.status.ok());
  CHECK(disk.write_s > 0);
  CHECK(disk.read_s > 0);
  CHECK(disk.free_bytes > 0);
  CHECK(std::filesystem::is_empty(folder.path()));
  DiskFacts known{
      .folder = "/run", .tried_bytes = kGiB, .write_s = 1, .read_s = 1, .free_bytes = 100 * kGiB};
  const auto judged = [&](std::int64_t each, std::int64_t kept, std::int64_t saved) {
    Section section{"disks"};
    judge_disk(known, {.enabled = true, .bytes = each, .kept = kept, .saved = saved}, section);
    return find(section, "free space");
  };
  CHECK(judged(kGiB, 10, 1000).level == Level::kOk);
  CHECK_THAT(judged(kGiB, 10, 1000).text,
             Contains("hold 100 checkpoints of 1.00 GiB (11 are kept"));
  const Finding tight = judged(20 * kGiB, 10, 1000);
  CHECK(tight.level == Level::kWarn);
  CHECK_THAT(tight.advice, Contains("keep_latest_k=4"));
  CHECK(judged(20 * kGiB, 10, 2).level == Level::kOk);  // only two are ever written
  CHECK(judged(20 * kGiB, 0, 1000).level == Level::kWarn);
  CHECK(judged(80 * kGiB, 10, 1000).level == Level::kFail);
}

TEST_CASE("doctor: a place that cannot be written is said", "[tools]") {
  const TemporaryFolder folder;
  std::ofstream(folder / "file") << "x";
  for (const std::string& bad : {folder / "file/run", std::string("/proc/self/run")}) {
    const DiskFacts disk = measure_disk(bad, 1 << 20);
    CHECK_FALSE(disk.status.ok());
    Section section{"disks"};
    judge_disk(disk, {}, section);
    CHECK(section.findings.at(0).level == Level::kFail);
    CHECK_THAT(section.findings.at(0).advice, Contains("--job.dump_folder"));
  }
}

TEST_CASE("doctor: a full disk is said and left as it was", "[tools]") {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "small");
  const std::string small = folder / "small";
  if (mount("tmpfs", small.c_str(), "tmpfs", 0, "size=4m") != 0)
    TITAN_SKIP("a file system can be mounted by root alone");
  const DiskFacts disk = measure_disk(small, 8 << 20);
  const bool empty = std::filesystem::is_empty(small);
  umount(small.c_str());
  CHECK(disk.status.code() == absl::StatusCode::kResourceExhausted);
  CHECK_THAT(message_of(disk.status), Contains("No space left"));
  CHECK(empty);
}

TEST_CASE("doctor: data that is missing or empty is said", "[tools]") {
  const TemporaryFolder folder;
  const auto judged = [](const std::string& path) {
    Section section{"disks"};
    judge_reading("data", path, measure_reading(path, 1 << 20), section);
    return section.findings.at(0);
  };
  CHECK(judged(folder / "nothing").level == Level::kFail);
  CHECK(judged(folder.path().string()).level == Level::kWarn);
  std::filesystem::create_directory(folder / "a");
  std::ofstream(folder / "a/big") << std::string(3 << 20, 'x');
  std::ofstream(folder / "small") << "y";
  const ReadFacts read = measure_reading(folder.path().string(), 1 << 20);
  CHECK(read.bytes >= 1 << 20);
  CHECK(read.files == 1);
  CHECK(judged(folder.path().string()).level == Level::kOk);
}

TEST_CASE("doctor: what ranks see alike is one line, what differs names them", "[tools]") {
  const auto seen = [](const std::string& revision, Level level) {
    Section versions{"versions"}, host{"host"};
    versions.ok("titan", revision);
    host.findings.push_back({level, "memory", "8 GiB", ""});
    return Sections{versions, host};
  };
  const Sections same = join_ranks(
      {seen("a", Level::kOk), seen("a", Level::kOk), seen("a", Level::kWarn)}, {"titan"});
  CHECK(exit_code_of(same) == 0);
  CHECK(same.at(0).findings.at(0).ranks == std::vector<int>{0, 1, 2});
  const std::string page = page_of("title", same, 3);
  CHECK_THAT(page, Contains("  ok    titan           a\n"));
  CHECK_THAT(page, Contains("  ok    memory          ranks 0-1: 8 GiB\n"));
  CHECK_THAT(page, Contains("  warn                  rank 2: 8 GiB\n"));
  CHECK_THAT(page, Contains("\n2 ok, 1 warning, 0 failed\n"));
  const Sections differ = join_ranks({seen("a", Level::kOk), seen("b", Level::kOk)}, {"titan"});
  CHECK(exit_code_of(differ) == 1);
  CHECK_THAT(page_of("title", differ, 2), Contains("differs: rank 0 has a, rank 1 has b"));
}

TEST_CASE("doctor: one rank speaks for its host", "[tools]") {
  const auto seen = [](int first) {
    Section host{"host"};
    host.findings.push_back({Level::kOk, "memory", "8 GiB", "", {first, first + 1}});
    return Sections{host};
  };
  const Sections joined = join_ranks({seen(0), {}, seen(2), {}}, {});
  CHECK(joined.at(0).findings.at(0).ranks == std::vector<int>{0, 1, 2, 3});
  CHECK_THAT(page_of("title", joined, 4), Contains("memory          8 GiB\n"));
}

TEST_CASE("doctor: findings travel as text, whatever bytes they hold", "[tools]") {
  Section section{"host"};
  section.fail("disk", "bad \xff name\nof two lines", "advice");
  const auto back = sections_of_text(sections_to_text({section}));
  REQUIRE(back.ok());
  CHECK(back->at(0).findings.at(0).level == Level::kFail);
  CHECK_THAT(back->at(0).findings.at(0).text, Contains("of two lines"));
  CHECK_FALSE(sections_of_text("{").ok());
  CHECK_FALSE(sections_of_text("[{\"level\": \"bad\"}]").ok());
}

TEST_CASE("doctor: bad arguments are told from a bad config", "[tools]") {
  const TemporaryFolder folder;
  std::ofstream(folder / "good.toml") << "[training]\nsteps = 5\n";
  std::ofstream(folder / "bad.toml") << "[training]\nstepps = 5\n";
  const std::string good = "--config=" + (folder / "good.toml");
  CHECK_FALSE(read_request({})->job.has_value());
  CHECK(read_request({good})->job->training.steps == 5);
  CHECK(read_request({good, "--training.steps", "7"})->job->training.steps == 7);
  CHECK(read_request({"--help", "nonsense"})->help);
  const auto bad = read_request({"--config", folder / "bad.toml"});
  REQUIRE(bad.ok());
  CHECK_THAT(message_of(bad->config_error), Contains("did you mean training.steps"));
  const std::vector<std::vector<std::string>> all = {{"nonsense"},
                                                     {good, "nonsense"},
                                                     {good, "--training.stepps=3"},
                                                     {"--nonsense"},
                                                     {"--config", folder / "none.toml"},
                                                     {"--json"},
                                                     {"--training.steps=0"},
                                                     {"--json=" + (folder / "no/such/file")},
                                                     {"--json", folder.path().string()}};
  for (const std::vector<std::string>& wrong : all) {
    INFO(wrong.back());
    const auto request = read_request(wrong);
    CHECK(request.status().code() == absl::StatusCode::kInvalidArgument);
  }
}
