#include "titan/memory/cpu_allocator.h"

#include <c10/core/CPUAllocator.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "tests/support/catch.h"
#include "titan/base/check.h"

namespace titan::memory {
namespace {

constexpr int64_t kMiB = 1 << 20;

at::Tensor bytes(int64_t size) { return at::empty({size}, at::kByte); }

int64_t page_faults() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

/// What one training step does to the allocator: blocks of changing sizes, written once.
void write_blocks(at::Allocator* allocator) {
  for (int64_t size = 64 << 10; size <= 32 * kMiB; size += size / 3) {
    c10::DataPtr block = allocator->allocate(static_cast<std::size_t>(size));
    std::memset(block.get(), 1, static_cast<std::size_t>(size));
  }
}

}  // namespace

TEST_CASE("The CPU allocator serves tensors, aligned, at every size", "[memory]") {
  REQUIRE(install_cpu_allocator());
  REQUIRE(install_cpu_allocator());
  const int64_t before = cpu_memory_stats()->active;
  std::vector<at::Tensor> kept;
  int64_t asked = 0;
  for (const int64_t size :
       {int64_t{1}, int64_t{63}, int64_t{4096}, int64_t{4097}, 64 * 1024 + int64_t{5}, kMiB,
        2 * kMiB - 1, 2 * kMiB, 2 * kMiB + 1, 7 * kMiB + 3}) {
    kept.push_back(bytes(size));
    kept.back().fill_(static_cast<int>(size % 251));
    asked += size;
    REQUIRE(reinterpret_cast<std::uintptr_t>(kept.back().data_ptr()) % 64 == 0);
  }
  REQUIRE(cpu_memory_stats()->active - before == asked);
  for (const at::Tensor& tensor : kept)
    REQUIRE(tensor.eq(static_cast<int>(tensor.numel() % 251)).all().item<bool>());
  kept.clear();
  REQUIRE(cpu_memory_stats()->active == before);
  REQUIRE(bytes(0).data_ptr() == nullptr);
}

TEST_CASE("A freed block is used again, and neighbours join", "[memory]") {
  install_cpu_allocator();
  const auto address_of = [](int64_t size) { return bytes(size).data_ptr(); };
  for (const int64_t size : {100 * int64_t{1024}, 4 * kMiB})
    REQUIRE(address_of(size) == address_of(size));
  const int64_t reserved = cpu_memory_stats()->reserved;
  for (int i = 0; i < 100; ++i) address_of(4 * kMiB);
  REQUIRE(cpu_memory_stats()->reserved == reserved);
}

TEST_CASE("Peaks are exact and start again on reset", "[memory]") {
  install_cpu_allocator();
  reset_cpu_memory_peak();
  const int64_t base = cpu_memory_stats()->active;
  REQUIRE(cpu_memory_stats()->peak_active == base);
  {
    const at::Tensor a = bytes(10 * kMiB + 1);
    { const at::Tensor b = bytes(5 * kMiB + 7); }
    const at::Tensor c = bytes(3000);
    REQUIRE(cpu_memory_stats()->active - base == 10 * kMiB + 1 + 3000);
  }
  REQUIRE(cpu_memory_stats()->peak_active - base == 15 * kMiB + 8);
  reset_cpu_memory_peak();
  REQUIRE(cpu_memory_stats()->peak_active == base);
  REQUIRE(cpu_memory_stats()->capacity > 0);
}

TEST_CASE("Rounding wastes little", "[memory]") {
  install_cpu_allocator();
  release_cpu_cache();
  const MemoryStats before = *cpu_memory_stats();
  std::vector<at::Tensor> kept;
  for (int64_t size = 5000; size < 40 * kMiB; size += size / 7) kept.push_back(bytes(size));
  const MemoryStats now = *cpu_memory_stats();
  const auto asked = static_cast<double>(now.active - before.active);
  const auto backed = static_cast<double>(now.reserved - before.reserved);
  std::printf("allocator waste over %zu sizes from 5 kB to 40 MiB: %.1f %%\n", kept.size(),
              100 * (backed / asked - 1));
  REQUIRE(backed >= asked);
  REQUIRE(backed < 1.15 * asked);  // 1/8 in a class; at most a page of 2 MiB above 2 MiB
  kept.clear();
  const int64_t released = static_cast<int64_t>(release_cpu_cache());
  REQUIRE(released >= static_cast<int64_t>(backed));
  REQUIRE(cpu_memory_stats()->reserved <= before.reserved + 4096);
}

TEST_CASE("Blocks may be freed by other threads, figures stay exact", "[memory]") {
  install_cpu_allocator();
  const int64_t before = cpu_memory_stats()->active;
  std::vector<std::thread> threads;
  std::atomic<int> damaged{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t, &damaged] {
      std::vector<c10::DataPtr> blocks;
      for (int i = 0; i < 400; ++i) {
        const std::size_t size =
            1000 + static_cast<std::size_t>((i * 7919 + t * 104729) % (3 * kMiB));
        blocks.push_back(c10::GetCPUAllocator()->allocate(size));
        auto* data = static_cast<unsigned char*>(blocks.back().get());
        data[0] = data[size - 1] = static_cast<unsigned char>(t);
        if (blocks.size() < 8) continue;
        if (data[0] != t || data[size - 1] != t) ++damaged;
        std::thread([moved = std::move(blocks)]() mutable { moved.clear(); }).join();
        blocks.clear();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  REQUIRE(damaged == 0);
  REQUIRE(cpu_memory_stats()->active == before);
}

TEST_CASE("Numbers do not depend on the allocator", "[memory]") {
  install_cpu_allocator();
  // The same computation over storage of LibTorch's own allocator and over ours.
  const auto compute = [](const at::Tensor& x) {
    return at::softmax(at::matmul(x, x.t()), 1).sum(0);
  };
  const at::Tensor ours = at::linspace(-1, 1, 600 * 500).reshape({600, 500});
  at::Allocator* plain = c10::GetDefaultCPUAllocator();
  auto storage =
      c10::make_intrusive<c10::StorageImpl>(c10::StorageImpl::use_byte_size_t(), ours.nbytes(),
                                            plain->allocate(ours.nbytes()), plain, false);
  at::Tensor theirs =
      at::empty({0}, at::kFloat).set_(c10::Storage(storage), 0, {600, 500}, {500, 1});
  theirs.copy_(ours);
  REQUIRE(at::equal(compute(ours), compute(theirs)));
}

TEST_CASE("Page faults vanish once the blocks are cached", "[memory]") {
  install_cpu_allocator();
  const auto faults_of = [](at::Allocator* allocator) {
    write_blocks(allocator);
    const int64_t before = page_faults();
    for (int i = 0; i < 3; ++i) write_blocks(allocator);
    return page_faults() - before;
  };
  const int64_t cached = faults_of(c10::GetCPUAllocator());
  const int64_t plain = faults_of(c10::GetDefaultCPUAllocator());
  std::printf("page faults in 3 rounds: %ld cached, %ld with LibTorch's allocator\n",
              static_cast<long>(cached), static_cast<long>(plain));
  REQUIRE(cached < 20);
  REQUIRE(cached * 10 < plain);
}

TEST_CASE("Out of memory names the figures", "[memory]") {
  install_cpu_allocator();
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit{rlim_t{1} << 20,
                       rlim_t{1} << 20};  // below what is mapped already: nothing new can be had
    setrlimit(RLIMIT_AS, &limit);
    try {
      c10::GetCPUAllocator()->allocate(std::size_t{100}
                                       << 30);  // more than the address range of the cache
    } catch (const Error& error) {
      const std::string text = error.what();
      const bool clear = text.find("[memory] out of CPU memory: cannot allocate 100 GiB") == 0 &&
                         cpu_memory_stats()->num_ooms == 1;
      _exit(clear ? 0 : 3);
    }
    _exit(4);
  }
  int status = 0;
  waitpid(child, &status, 0);
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) == 0);
  REQUIRE_THROWS_AS(c10::GetCPUAllocator()->allocate(~std::size_t{0} - 5), Error);
}

TEST_CASE("TITAN_CPU_CACHE=0 leaves LibTorch's allocator in place", "[memory]") {
  const pid_t child = fork();
  if (child == 0) {
    // A fresh process image: the allocator of this one is installed already.
    setenv("TITAN_CPU_CACHE", "0", 1);
    execl("/proc/self/exe", "memory_test", "[.switched-off]", nullptr);
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  REQUIRE((WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

TEST_CASE("helper: the allocator stays away", "[.switched-off]") {
  if (std::getenv("TITAN_CPU_CACHE") == nullptr) TITAN_SKIP("started by the test above");
  REQUIRE_FALSE(install_cpu_allocator());
  REQUIRE_FALSE(cpu_memory_stats().has_value());
  REQUIRE(c10::GetCPUAllocator() == c10::GetDefaultCPUAllocator());
}

}  // namespace titan::memory
