#include "tests/support/catch.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/metrics/mllog_rules.h"
#include "tests/support/golden_root.h"
#include "tests/support/temporary_folder.h"
#include "titan/metrics/mllog.h"

namespace titan {
namespace {

using Json = nlohmann::ordered_json;
using testing::judge_mllog;
using testing::slurp;

TEST_CASE("The rules give the checker's verdict on every golden log", "[metrics][golden]") {
  const auto root = testing::golden_root();
  if (!root) TITAN_SKIP(testing::kNoGolden);
  const std::filesystem::path folder = *root / "flux/mllog";
  if (!std::filesystem::exists(folder / "mllog.json")) TITAN_SKIP("no golden flux/mllog");
  int judged = 0;
  const Json cases = Json::parse(slurp((folder / "mllog.json").string()));
  for (const Json& log : cases.at("logs")) {
    const std::string name = log["log"];
    const std::string text = slurp((folder / name).string());
    for (const auto& [ruleset, expected] : log["rulesets"].items()) {
      const auto verdict = judge_mllog(text, ruleset);
      INFO(name << " under " << ruleset << ": " << log["broken"].get<std::string>() << "\n"
                << verdict.text());
      CHECK(verdict.passes() == (expected["verdict"] == "pass"));
      CHECK(verdict.warnings.size() ==
            (expected.contains("warnings") ? expected["warnings"].size() : 0));
      ++judged;
    }
  }
  std::printf("mllog: %d verdicts\n", judged);
  CHECK(judged > 0);
}

TEST_CASE("A line is written as MLPerf's own logger does", "[metrics]") {
  CHECK(metrics::mllog_line("POINT_IN_TIME", "a\"b", {{"x", 1e-08}, {"y", {1, 2}}},
                            {{"samples_count", 3}}, 1234, std::source_location::current())
            .rfind(R"(:::MLLOG {"namespace": "", "time_ms": 1234, "event_type": "POINT_IN_TIME", )"
                   R"("key": "a\"b", "value": {"x": 1e-08, "y": [1, 2]}, "metadata": )"
                   R"({"file": "mllog_test.cpp", "lineno": )",
                   0) == 0);
  const std::string odd =
      metrics::mllog_line("POINT_IN_TIME", "k", std::nan(""), "not an object", 1, {});
  CHECK(odd.find("\"value\": null") != std::string::npos);
  CHECK(metrics::mllog_line("POINT_IN_TIME", "k", "\xff", nullptr, 1, {}).find("\xef\xbf\xbd") !=
        std::string::npos);
}

}  // namespace
}  // namespace titan
