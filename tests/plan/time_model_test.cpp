#include "tests/support/catch.h"

#include "titan/plan/time_model.h"

using namespace titan::plan;

TEST_CASE("communication hides behind computation but for its ends", "[plan]") {
  const Hardware h200 = find_hardware("h200").value();
  StepWork work{.flops = 1e15,
                .gathered_bytes = 40e9,
                .reduced_bytes = 20e9,
                .first_gather = 1e8,
                .last_reduce = 1e8,
                .shard_ranks = 8,
                .replicas = 1,
                .ranks_per_node = 8};
  const StepTime hidden = step_time(work, h200, {});
  CHECK(hidden.communication == Approx(60e9 * 7 / 8 / (0.8 * 450e9)));
  CHECK(hidden.exposed == Approx(2e8 * 7 / 8 / (0.8 * 450e9)));
  work.flops = 1e13;  // hides 17 ms
  const StepTime exposed = step_time(work, h200, {});
  CHECK(exposed.exposed == Approx(exposed.communication - exposed.compute));
  work.shard_ranks = 1;
  CHECK(step_time(work, h200, {}).communication == 0);
}

TEST_CASE("products in 8 bits have their own rate where the device has them", "[plan]") {
  const Hardware h200 = find_hardware("h200").value(), a100 = find_hardware("a100").value();
  const Assumptions assumed;
  StepWork work{.flops = 4e15};
  const double bf16 = step_time(work, h200, {}).compute;
  CHECK(bf16 == Approx(4e15 / (assumed.compute * 989e12)));
  work.float8_flops = 3e15;
  const double mixed = step_time(work, h200, {}).compute;
  CHECK(mixed == Approx(bf16 / 4 + 3e15 / (assumed.float8 * 1979e12)));
  // Eight bits pay as much as they do in products alone: 1,300 TFLOP/s against 760.
  work.float8_flops = work.flops;
  CHECK(bf16 / step_time(work, h200, {}).compute == Approx(1300.0 / 760.0).epsilon(0.01));
  CHECK(step_time(work, a100, {}).compute == Approx(4e15 / (assumed.compute * 312e12)));
}

TEST_CASE("rings across nodes share the adapters of a node", "[plan]") {
  const Hardware h200 = find_hardware("h200").value();
  const Assumptions exact{.transfer = 1.0};
  CHECK(ring_bandwidth(h200, exact, 8, 1, 8) == Approx(450e9));
  CHECK(ring_bandwidth(h200, exact, 64, 1, 8) == Approx(400e9));  // eight adapters of 50 GB/s
  CHECK(ring_bandwidth(h200, exact, 8, 8, 8) == Approx(50e9));    // replicas of a slice
  CHECK(ring_bandwidth(find_hardware("gb200").value(), exact, 72, 1, 4) == Approx(900e9));
}

TEST_CASE("devices are known by their drivers' names", "[plan]") {
  CHECK(hardware_of_device("NVIDIA H200") == "h200");
  CHECK(hardware_of_device("NVIDIA GB200") == "gb200");
  CHECK(hardware_of_device("NVIDIA GeForce") == "");
  CHECK_FALSE(find_hardware("h201").ok());
}
