#include "titan/tools/data/convert_format.h"

#include <algorithm>
#include <filesystem>

#include "tests/data/memory_rows.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "titan/data/row_shards.h"
#include "titan/tools/convert_data.h"

namespace titan::tools {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using titan::testing::MemoryRows;
using titan::testing::TemporaryFolder;

std::string arrow_folder(const TemporaryFolder& folder, const MemoryRows& rows) {
  const std::string path = folder / "arrow";
  fs::create_directory(path);
  REQUIRE(write_saved_rows(rows, path, 2000, [](int64_t) {}).ok());
  return path;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

TEST_CASE("convert-data: there and back gives the same files", "[tools]") {
  const TemporaryFolder folder;
  const std::string arrow = arrow_folder(folder, MemoryRows(9));
  CHECK(convert_data_main({"format", arrow, folder / "rows"}) == 0);
  CHECK(looks_like_row_shards(folder / "rows"));
  const auto rows = open_encoded_rows(folder / "rows", "test");
  REQUIRE(rows.ok());
  CHECK((*rows)->size() == 9);
  REQUIRE(convert_format({.input = folder / "rows",
                          .output = folder / "again",
                          .format = "",
                          .bytes_per_file = 2000})
              .ok());
  REQUIRE(names_in(arrow) == names_in(folder / "again"));
  for (const std::string& name : names_in(arrow))
    CHECK(testing::slurp(arrow + "/" + name) == testing::slurp(folder / ("again/" + name)));
}

TEST_CASE("convert-data: nothing is overwritten, nothing is left behind", "[tools]") {
  const TemporaryFolder folder;
  MemoryRows rows(9);
  const std::string arrow = arrow_folder(folder, rows);
  folder.write("taken/file", "x");
  const Status taken = convert_format(
      {.input = arrow, .output = folder / "taken", .format = "", .bytes_per_file = 0});
  CHECK_THAT(message_of(taken), Contains("never overwritten"));
  CHECK(testing::slurp(folder / "taken/file") == "x");
  fs::remove_all(arrow);
  rows.rows[5].values[2][0] = 0x7FC0;
  rows.pretend_checked = true;
  arrow_folder(folder, rows);
  const Status bad =
      convert_format({.input = arrow, .output = folder / "bad", .format = "", .bytes_per_file = 0});
  CHECK_THAT(message_of(bad), Contains("column 'mean' holds NaN or infinity"));
  CHECK(names_in(folder.path()) == std::vector<std::string>{"arrow", "taken"});
  CHECK(convert_data_main({arrow}) == 2);
  CHECK(convert_data_main({folder / "nowhere", folder / "out"}) == 2);
  CHECK(convert_data_main({arrow, folder / "out", "--to", "parquet"}) == 2);
  CHECK(convert_data_main({"--help"}) == 0);
  CHECK(convert_data_main({}) == 2);
}

}  // namespace titan::tools
