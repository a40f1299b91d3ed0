#include "tests/support/catch.h"

#include <cmath>
#include <fstream>

#include "titan/plan/published.h"

#include "tests/support/temporary_folder.h"

using namespace titan::plan;
using titan::testing::TemporaryFolder;

TEST_CASE("published step times are predicted from three of them", "[plan]") {
  const auto rows = read_published("docs/results/mlperf_flux_rows.tsv");
  REQUIRE(rows.ok());
  const auto model = calibrate(*rows);
  REQUIRE(model.ok());
  int others = 0, within = 0;
  for (const PublishedRow& row : *rows) {
    const double error = predict(*model, row) / row.step_s - 1;
    if (row.calibrates) {
      CHECK(std::abs(error) < 1e-6);
    } else {
      ++others;
      if (std::abs(error) <= 0.10) ++within;
    }
  }
  CHECK(others == 24);
  CHECK(within >= 23);  // the one that is not: docs/results/planner.md
}

TEST_CASE("a table with a wrong number names the line", "[plan]") {
  const TemporaryFolder folder;
  const auto problem = [&](const std::string& line) {
    std::ofstream(folder / "rows.tsv") << "header\n" << line << "\n";
    const auto rows = read_published(folder / "rows.tsv");
    return rows.ok() ? "" : titan::message_of(rows.status());
  };
  CHECK(problem("v5.1\tX\t8\tb200\t256\t32\t1\tmxfp8\t0.5\tno") == "");
  CHECK(problem("v5.1\tX\teight\tb200\t256\t32\t1\tmxfp8\t0.5\tno").find(":2:") !=
        std::string::npos);
  CHECK(problem("v5.1\tX\t8\tb201\t256\t32\t1\tmxfp8\t0.5\tno").find("did you mean b200") !=
        std::string::npos);
  CHECK(problem("v5.1\tX\t8\tb200\t999\t32\t1\tmxfp8\t0.5\tno").find("global batch") !=
        std::string::npos);
}
