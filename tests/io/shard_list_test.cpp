#include "tests/support/catch.h"

#include "titan/io/remote/brace_expansion.h"
#include "titan/io/remote/shard_counts.h"
#include "titan/io/remote/shard_list.h"

#include "tests/io/remote_fixture.h"

namespace titan {
namespace {

using absl::StatusCode;
using Catch::Matchers::Contains;
using testing::can_serve;
using testing::Environment;
using testing::Remote;
using Names = std::vector<std::string>;

TEST_CASE("Braces stand for ranges and lists", "[io]") {
  CHECK(*expand_braces("a.tar") == Names{"a.tar"});
  CHECK(*expand_braces("s-{08..11}.tar") == Names{"s-08.tar", "s-09.tar", "s-10.tar", "s-11.tar"});
  CHECK(*expand_braces("{8..10}") == Names{"8", "9", "10"});
  CHECK(*expand_braces("{2..0}") == Names{"2", "1", "0"});
  CHECK(*expand_braces("{a,b}/{0..1}") == Names{"a/0", "a/1", "b/0", "b/1"});
  CHECK(*expand_braces("x{,y}") == Names{"x", "xy"});
  const auto error = [](const std::string& text) {
    return message_of(expand_braces(text).status());
  };
  CHECK_THAT(error("a{0..3"), Contains("not closed"));
  CHECK_THAT(error("{a}"), Contains("neither a range"));
  CHECK_THAT(error("{a..b}"), Contains("no range"));
  CHECK_THAT(error("{-1..3}"), Contains("no range"));
  CHECK_THAT(error("{0..99999999}"), Contains("more than 1000000"));
  CHECK_THAT(error("{0..9999}{0..9999}"), Contains("more than 1000000"));
}

TEST_CASE("What a user writes becomes a list of tars", "[io]") {
  if (!can_serve()) TITAN_SKIP(testing::kNoServer);
  const Remote remote;
  const auto list = [&](const std::string& text) -> Names {
    const StatusOr<std::vector<ListedShard>> shards = list_shards(text, remote.options);
    if (!shards.ok()) return {message_of(shards.status())};
    Names names;
    for (const ListedShard& shard : *shards) {
      std::string name = shard.location;
      if (name.starts_with(remote.server.root())) name = name.substr(remote.server.root().size());
      if (shard.num_samples) name += " " + std::to_string(*shard.num_samples);
      if (shard.file.size_bytes) name += " " + std::to_string(*shard.file.size_bytes) + "B";
      names.push_back(name);
    }
    return names;
  };
  const auto url = [&](const std::string& path) { return remote.server.url(path); };
  CHECK(list(url("files/s-{0..1}.tar")) == Names{"/files/s-0.tar", "/files/s-1.tar"});
  CHECK(list(url("files/a.tar") + "::" + url("files/b.tar") + "," + url("files/a.tar")) ==
        Names{"/files/a.tar", "/files/b.tar"});
  CHECK_THAT(list(url("files/")).at(0), Contains("no index.json") && Contains("index-shards"));

  remote.folder.write("index.json", render_shard_counts({{"a.tar", 3, 512}, {"b.tar", 0, {}}}));
  CHECK(list(url("files/")) == Names{"/files/a.tar 3 512B", "/files/b.tar 0"});
  CHECK(list(url("files/{b,a,c}.tar")) ==
        Names{"/files/b.tar 0", "/files/a.tar 3 512B", "/files/c.tar"});
  CHECK(list(url("files/index.json")).size() == 2);
  remote.folder.write("list.txt", "# two\n\n a.tar \r\n" + url("403/{x,y}.tar") + "\n");
  CHECK(list(url("files/list.txt")) == Names{"/files/a.tar 3 512B", "/403/x.tar", "/403/y.tar"});
  const std::string here = remote.here.write("local.txt", "t-{0..1}.tar\n/abs.tar\n");
  const Names local = {remote.here.file("t-0.tar"), remote.here.file("t-1.tar"), "/abs.tar"};
  CHECK(list(here) == local);
  CHECK(list("@" + here) == local);
  CHECK_THAT(list("@" + remote.here.write("self", "@self\n")).at(0), Contains("lists of lists"));
  CHECK_THAT(list("@/absent").at(0), Contains("/absent"));
  CHECK_THAT(list(remote.here.write("none.txt", "# nothing\n")).at(0), Contains("no shards"));

  remote.folder.write("mds/index.json", R"({"version": 2, "shards": []})");
  CHECK(list(url("files/mds/a.tar")) == Names{"/files/mds/a.tar"});  // an index of another kind
  CHECK_THAT(list(url("files/mds/")).at(0), Contains("no index of tars"));
  remote.folder.write("bad/index.json", R"({"shardlist": [{"url": "a.tar", "nsamples": -1}]})");
  CHECK_THAT(list(url("files/bad/")).at(0), Contains("shard 0 lacks"));
  remote.folder.write("out/index.json", R"({"shardlist": [{"url": "/etc/a.tar", "nsamples": 1}]})");
  CHECK_THAT(list(url("files/out/")).at(0), Contains("lists a local path"));

  const Environment environment(remote.server.s3_variables());
  remote.folder.write("p/b.tar", "12345");
  remote.folder.write("p/a.tar", "123");
  remote.folder.write("p/readme.md", "");
  CHECK(list("s3://bucket/p/") == Names{"s3://bucket/p/a.tar 3B", "s3://bucket/p/b.tar 5B"});
  remote.folder.write("p/index.json", render_shard_counts({{"b.tar", 9, {}}}));
  CHECK(list("s3://bucket/p/") == Names{"s3://bucket/p/a.tar 3B", "s3://bucket/p/b.tar 9 5B"});
  CHECK_THAT(list("s3://bucket/none/").at(0), Contains("no tars below"));
  CHECK_THAT(list("s3://bucket/p").at(0), Contains("end it with '/'"));

  CHECK(names_shard_list("s3://b/p/"));
  CHECK(names_shard_list("@x"));
  CHECK(names_shard_list("data/{0..3}.tar"));
  CHECK_FALSE(names_shard_list("data/*.tar"));
  CHECK_FALSE(names_shard_list(remote.here.path().string()));
}

}  // namespace
}  // namespace titan
