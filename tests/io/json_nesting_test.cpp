#include "titan/io/json_nesting.h"

#include "titan/io/mds_index.h"
#include "titan/io/remote/shard_counts.h"
#include "titan/io/saved_folder.h"

#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace titan {
namespace {

using Catch::Matchers::Contains;

/// Deep enough to end the process where something recurses (8 MiB of stack, 40 bytes a level).
std::string nested(const std::string& before, const std::string& behind) {
  constexpr std::size_t kDepth = 500'000;
  return before + std::string(kDepth, '[') + std::string(kDepth, ']') + behind;
}

TEST_CASE("Nesting is counted outside of texts", "[io]") {
  CHECK_FALSE(nests_too_deep(""));
  CHECK_FALSE(nests_too_deep(R"({"a": [1, {"b": []}]})"));
  CHECK_FALSE(nests_too_deep('"' + std::string(1000, '[') + '"'));
  CHECK_FALSE(nests_too_deep(R"("\")" + std::string(1000, '{') + '"'));
  CHECK(nests_too_deep(R"("\\")" + std::string(65, '[')));
  CHECK_FALSE(nests_too_deep(std::string(64, '[') + std::string(64, ']')));
  std::string flat = "[";
  for (int i = 0; i < 1000; ++i) flat += "[],";
  CHECK_FALSE(nests_too_deep(flat));
}

TEST_CASE("Files that nest lists without end are refused by name", "[io]") {
  const std::string shard = nested(
      R"({"version": 2, "shards": [{"format": "mds", "version": 2, "samples": 1, "raw_data":)"
      R"( {"basename": "s", "bytes": 1}, "column_names": )",
      "}]}");
  CHECK_THAT(message_of(parse_mds_index(shard, "here/index.json").status()),
             Contains("here/index.json nests lists or objects too deep"));
  const std::string counts = nested(R"({"shardlist": [{"url": )", "}]}");
  CHECK_FALSE(is_shard_counts(counts));
  CHECK_THAT(message_of(parse_shard_counts(counts, "i.json").status()), Contains("too deep"));
  const testing::TemporaryFolder folder;
  folder.write("state.json", nested(R"({"_data_files": )", "}"));
  folder.write("dataset_info.json", "{}");
  CHECK_THAT(message_of(SavedFolder::open(folder.path().string()).status()),
             Contains("state.json nests lists or objects too deep"));
}

}  // namespace
}  // namespace titan
