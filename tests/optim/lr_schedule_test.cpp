#include "tests/support/catch.h"

#include "titan/optim/lr_schedule.h"

#include "tests/support/golden.h"

using titan::LrSchedulerSection;
using titan::optim::lr_multiplier;

namespace {

LrSchedulerSection schedule(const std::string& name, int64_t warmup) {
  LrSchedulerSection section;
  section.name = name;
  section.warmup_steps = warmup;
  return section;
}

void require_multipliers(const LrSchedulerSection& section, int64_t steps,
                         const std::vector<double>& expected, double tolerance = 1e-12) {
  for (std::size_t k = 0; k < expected.size(); ++k) {
    INFO("completed steps: " << k);
    REQUIRE_THAT(lr_multiplier(section, steps, static_cast<int64_t>(k)),
                 Catch::Matchers::WithinAbs(expected[k], tolerance));
  }
}

}  // namespace

TEST_CASE("wsd follows torchtitan's arithmetic with its virtual extra step", "[optim]") {
  LrSchedulerSection section = schedule("wsd", 2);
  require_multipliers(section, 10, {.5, 1, 1, .875, .75, .625, .5, .375, .25, .125, 0});
  section.decay_ratio = 0.3;
  require_multipliers(section, 10, {.5, 1, 1, 1, 1, 1, 1, 1, 2.0 / 3, 1.0 / 3, 0});
  section.decay_type = "sqrt";
  require_multipliers(section, 10, {.5, 1, 1, 1, 1, 1, 1, 1, .42265, .183503, 0}, 5e-6);
  section.decay_type = "cosine";
  section.lr_min = 0.1;
  require_multipliers(section, 10, {.5, 1, 1, 1, 1, 1, 1, 1, .775, .325, .1});
  section.decay_type = "constant";
  require_multipliers(section, 10, {.5, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1});
}

TEST_CASE("wsd shortens what does not fit, and says so", "[optim]") {
  LrSchedulerSection section = schedule("wsd", 8);
  section.decay_ratio = 0.5;
  require_multipliers(section, 5, {.2, .4, .6, .8, 1, 1});
  const std::vector<std::string> warnings = titan::optim::lr_schedule_warnings(section, 5);
  REQUIRE(warnings.size() == 2);
  REQUIRE_THAT(warnings[0], Catch::Matchers::Contains("warmup_steps=8"));
  REQUIRE_THAT(warnings[1], Catch::Matchers::Contains("decay_ratio=0.5"));
  REQUIRE(titan::optim::lr_schedule_warnings(section, 100).empty());
}

TEST_CASE("wsd rounds the length of the decay half to even", "[optim]") {
  LrSchedulerSection section = schedule("wsd", 0);
  section.decay_ratio = 0.5;
  // 5 * 0.5 = 2.5 gives 2 steps of decay, 7 * 0.5 = 3.5 gives 4.
  require_multipliers(section, 5, {1, 1, 1, 1, .5, 0});
  require_multipliers(section, 7, {1, 1, 1, 1, .75, .5, .25, 0});
  section.decay_ratio = 0.0;
  require_multipliers(section, 3, {1, 1, 1, 1});
}

TEST_CASE("linear is TorchDiTan's: a warm-up of w + 1 and a straight decay", "[optim]") {
  require_multipliers(schedule("linear", 2), 6, {1.0 / 3, 2.0 / 3, 1, .75, .5, .25, 0, 0});
}

TEST_CASE("polynomial with power 1 is wsd without a stable phase", "[optim]") {
  for (int64_t k = 0; k <= 10; ++k)
    REQUIRE(lr_multiplier(schedule("polynomial", 2), 10, k) ==
            Approx(lr_multiplier(schedule("wsd", 2), 10, k)));
  LrSchedulerSection section = schedule("polynomial", 0);
  section.power = 2;
  section.lr_min = 0.2;
  require_multipliers(section, 4, {1, .65, .4, .25, .2, .2});
}

TEST_CASE("cosine_restarts starts again in each cycle", "[optim]") {
  LrSchedulerSection section = schedule("cosine_restarts", 1);
  section.num_cycles = 2;
  require_multipliers(section, 9,
                      {1, 1, 0.5 * (1 + std::sqrt(0.5)), .5, 0.5 * (1 - std::sqrt(0.5)), 1,
                       0.5 * (1 + std::sqrt(0.5)), .5, 0.5 * (1 - std::sqrt(0.5)), 0});
}

TEST_CASE("a warm-up as long as the training leaves the end defined", "[optim]") {
  for (const char* name : {"wsd", "linear", "polynomial", "cosine_restarts"}) {
    INFO(name);
    const double end = lr_multiplier(schedule(name, 4), 4, 4);
    REQUIRE((end >= 0 && end <= 1));
  }
}

TEST_CASE("schedules give the golden learning rates", "[golden]") {
  const auto cases = titan::testing::golden_cases("dit", "train");
  if (cases.empty()) TITAN_SKIP(titan::testing::kNoGolden);
  for (const auto& path : cases) {
    const titan::testing::GoldenCase golden = titan::testing::load_golden(path);
    titan::testing::ErrorReport report(golden.name + ": learning rates");
    const nlohmann::json& conditions = golden.json.at("conditions");
    const nlohmann::json& schedules = conditions.at("schedules");
    const double lr = conditions.at("optimizer").at("lr").get<double>();
    const int64_t steps = conditions.at("steps").get<int64_t>();
    int count = 0;
    for (const auto& [name, expected] : golden.with_prefix("output.")) {
      if (!name.ends_with(".lr")) continue;
      const std::string kind = name.substr(0, name.size() - 3);
      LrSchedulerSection section =
          schedule(kind == "ditan" ? "linear" : "wsd", conditions.at("warmup").get<int64_t>());
      if (kind != "ditan") {
        section.decay_type = kind;
        section.decay_ratio = schedules.at("decay_ratio").get<double>();
        section.lr_min = schedules.at("lr_min").at(kind).get<double>();
      }
      const at::Tensor actual = torch::empty({steps}, torch::kDouble);
      for (int64_t k = 0; k < steps; ++k) actual[k] = lr * lr_multiplier(section, steps, k);
      REQUIRE(report.add("lr", name, actual, expected) <= 1e-12);
      ++count;
    }
    REQUIRE(count > 0);
  }
}
