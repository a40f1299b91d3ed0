#include "tests/support/catch.h"

#include "titan/tools/data/find_bad.h"

#include <algorithm>
#include <filesystem>

#include "tests/io/image_golden.h"
#include "tests/support/temporary_folder.h"
#include "tests/tools/data/image_set.h"
#include "titan/io/saved_folder_writer.h"
#include "titan/tools/convert_data.h"
#include "titan/tools/data/row_list.h"

namespace titan::tools {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using titan::testing::add_sample;
using titan::testing::jpeg;
using titan::testing::slurp;
using titan::testing::TarBuilder;
using titan::testing::TemporaryFolder;

/// Eight rows in two tars; 1, 3, 4, 6 and 7 are bad.
struct SmallSet {
  TemporaryFolder folder;
  SmallSet() {
    TarBuilder first, second;
    add_sample(first, "a0", jpeg(9, 9));
    add_sample(first, "a1", "\xff\xd8\xff no picture");
    add_sample(first, "a2", jpeg(300, 20));
    add_sample(first, "a3", jpeg(9, 9), "caption \xff");
    add_sample(second, "b4", jpeg(9, 9), "fine", "{\"width\": ");
    add_sample(second, "b5", jpeg(9, 9, PixelMode::kGray));
    second.add("b6.txt", "no picture").add("b6.json", "{}");
    add_sample(second, "b7", jpeg(64, 64));
    folder.write("tars/set-0000.tar", first.finished());
    // The last member's data break off.
    const std::string bytes = second.bytes();
    folder.write("tars/set-0001.tar", bytes.substr(0, bytes.size() - 512));
  }
  FindBadOptions options() const {
    return {.input = folder / "tars",
            .output = folder / "bad.txt",
            .causes = folder / "causes.tsv",
            .num_threads = 3};
  }
};

}  // namespace

TEST_CASE("find-bad lists the unreadable rows and why", "[tools]") {
  const SmallSet set;
  REQUIRE(message_of(find_bad(set.options())).empty());
  CHECK(slurp(set.folder / "bad.txt") == "1\n3\n4\n6\n7\n");
  const std::string causes = slurp(set.folder / "causes.tsv");
  CHECK_THAT(causes, Contains("1\tset-0000.tar:a1\t[image] JPEG"));
  CHECK_THAT(causes, Contains("3\tset-0000.tar:a3\tmember txt is not UTF-8"));
  CHECK_THAT(causes, Contains("4\tset-0001.tar:b4\tmember json does not parse"));
  CHECK_THAT(causes, Contains("6\tset-0001.tar:b6\tno image"));
  CHECK_THAT(causes, Contains("7\tset-0001.tar:b7\t") && Contains("set-0001.tar"));
  CHECK(!fs::exists(set.folder / "bad.txt.progress"));
  CHECK_THAT(message_of(find_bad(set.options())), Contains("never overwritten"));
}

TEST_CASE("find-bad goes on where it was stopped, at every row", "[tools]") {
  const SmallSet set;
  FindBadOptions options = set.options();
  int calls = 0;
  for (int rows = 1;; ++rows) {
    int left = 1;  // one row a call
    options.stop = [&] { return --left == 0; };
    const Status status = find_bad(options);
    if (status.ok()) break;
    REQUIRE(absl::IsCancelled(status));
    CHECK_THAT(message_of(status), Contains(str_cat("after ", rows, " rows")));
    CHECK(!fs::exists(options.output));
    REQUIRE(++calls <= 8);
  }
  CHECK(calls == 8);
  CHECK(slurp(options.output) == "1\n3\n4\n6\n7\n");
}

TEST_CASE("find-bad does not go on with other data", "[tools]") {
  const SmallSet set;
  FindBadOptions options = set.options();
  options.stop = [] { return true; };
  REQUIRE(absl::IsCancelled(find_bad(options)));
  set.folder.write("tars/set-0002.tar", TarBuilder().add("x.txt", "more").finished());
  CHECK_THAT(message_of(find_bad(options)), Contains("is of a search through other data"));
  set.folder.write("bad.txt.progress", "{");
  CHECK_THAT(message_of(find_bad(options)), Contains("is broken; remove it"));
  fs::remove(set.folder / "bad.txt.progress");
  options.input = set.folder / "nowhere";
  CHECK_THAT(message_of(find_bad(options)), Contains("no such file or folder"));
  fs::create_directory(set.folder / "empty");
  options.input = set.folder / "empty";
  CHECK_THAT(message_of(find_bad(options)), Contains("no tars in"));
  set.folder.write("empty/state.json", "{}");
  CHECK_THAT(message_of(find_bad(options)), Contains("has no dataset_info.json"));
  CHECK(convert_data_main({"find-bad", set.folder / "tars"}) == 2);
  CHECK(convert_data_main({"find-bad", "--help"}) == 0);
}

TEST_CASE("find-bad: the photographs are all readable", "[tools]") {
  const std::string photos = "../shared/data/cc12m_test";
  if (!fs::exists(photos)) TITAN_SKIP("no photographs: ../shared/data/cc12m_test is absent");
  const TemporaryFolder folder;
  REQUIRE(convert_data_main({"find-bad", photos, "--output", folder / "bad.txt"}) == 0);
  CHECK(slurp(folder / "bad.txt").empty());
}

TEST_CASE("find-bad reads a folder of save_to_disk", "[tools]") {
  const TemporaryFolder folder;
  const std::string path = folder / "saved";
  fs::create_directory(path);
  SavedFolderWriter out(path, {{"jpg", "image"}, {"txt", "string"}, {"__key__", "string"}}, 1);
  const auto view = [](const std::string& text) {
    return std::as_bytes(std::span(text.data(), text.size()));
  };
  const std::string good = jpeg(9, 9), bad = "no picture", text = "caption \xff", key = "k";
  folder.write("saved/beside.jpg", good);
  const std::string beside = "beside.jpg", absent = "absent.jpg";
  using Row = std::vector<ArrowValue>;
  REQUIRE(out.append(Row{view(good), {}, view(key), view(key)}).ok());
  REQUIRE(out.append(Row{view(bad), {}, view(key), view(key)}).ok());
  REQUIRE(out.append(Row{view(good), {}, view(text), view(key)}).ok());
  REQUIRE(out.append(Row{{}, view(beside), view(key), view(key)}).ok());
  REQUIRE(out.append(Row{{}, view(absent), view(key), view(key)}).ok());
  REQUIRE(out.append(Row{{}, {}, {}, view(key)}).ok());
  REQUIRE(out.finish("train").ok());
  REQUIRE(message_of(find_bad({.input = path, .output = folder / "bad.txt"})).empty());
  CHECK(slurp(folder / "bad.txt") == "1\n2\n4\n5\n");
}

TEST_CASE("row lists", "[tools]") {
  const TemporaryFolder folder;
  const auto rows = read_row_list(folder.write("rows", "7\n\n 3 \r\n7\n"));
  REQUIRE(rows.ok());
  CHECK(*rows == std::vector<int64_t>{3, 7});
  CHECK(render_row_list(*rows) == "3\n7\n");
  CHECK_THAT(message_of(read_row_list(folder.write("bad", "1\n-2\n")).status()),
             Contains("line 2"));
  CHECK_THAT(message_of(read_row_list(folder.write("bad", "1x")).status()), Contains("'1x'"));
  CHECK(read_row_list(folder / "nowhere").status().code() == absl::StatusCode::kNotFound);
}

TEST_CASE("the rows of cc12m in the project are the published ones", "[tools]") {
  const std::string published = "../shared/data/cc12m/problematic_indices.txt";
  if (!fs::exists(published)) TITAN_SKIP("no list: ../shared/data/cc12m is absent");
  const auto rows = read_row_list(published);
  REQUIRE(rows.ok());
  const auto ours = cc12m_problematic_indices();
  CHECK(std::vector<int64_t>(ours.begin(), ours.end()) == *rows);
}

}  // namespace titan::tools
