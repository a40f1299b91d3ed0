#include "tests/support/catch.h"

#include <algorithm>

#include "titan/io/image_write.h"

#include "tests/integration/training.h"
#include "tests/io/remote_fixture.h"
#include "tests/support/tar_builder.h"

namespace titan::testing {
namespace {

std::string picture(int gray) {
  Image image(16, 16, PixelMode::kGray);
  std::fill(image.pixels.begin(), image.pixels.end(), static_cast<std::uint8_t>(gray));
  const auto bytes = *encode_jpeg(image);
  return {bytes.begin(), bytes.end()};
}

TEST_CASE("A job reads tars from a server as from a folder: equal losses", "[integration]") {
  if (!can_serve()) TITAN_SKIP(kNoServer);
  const Remote remote;
  for (int t = 0; t < 3; ++t) {
    TarBuilder tar;
    for (int s = 0; s < 8; ++s)
      tar.add(str_cat(s, ".jpg"), picture(80 * t + 5 * s)).add(str_cat(s, ".cls"), str_cat(s % 2));
    remote.folder.write(str_cat("t-", t, ".tar"), tar.finished());
  }
  remote.folder.write("classes.txt", "even\nodd\n");
  const auto run_on = [&](const std::string& name, const std::string& path) {
    const std::string run_folder = remote.here.file(name);
    const ProcessResult result = train(
        tiny_job(run_folder, {"--training.dataset=webdataset", "--training.dataset_path=" + path,
                              "--dataset.cache_dir=" + remote.here.file("cache-" + name)}),
        {{"TITAN_CACHE", remote.here.file("home")}});
    INFO(result.output);
    REQUIRE(result.exit_code == 0);
    return losses(run_folder);
  };
  const auto local = run_on("local", remote.folder.path().string());
  REQUIRE(local.size() == 6);
  // Every tar breaks off in its middle once.
  CHECK(run_on("broken", remote.server.url("broken/t-{0..2}.tar")) == local);
  const ProcessResult index = run({kTitanBinary, "index-shards", remote.folder.path().string()});
  INFO(index.output);
  REQUIRE(index.exit_code == 0);
  CHECK(index.mentions("24 samples in 3 tars"));
  CHECK(run_on("indexed", remote.server.url("files/")) == local);

  const ProcessResult absent =
      train(tiny_job(remote.here.file("absent"),
                     {"--training.dataset=webdataset",
                      "--training.dataset_path=" + remote.server.url("files/absent.tar?key=hidden"),
                      "--dataset.cache_dir=" + remote.here.file("cache")}));
  CHECK(absent.exit_code == 2);
  CHECK(absent.mentions("files/absent.tar: the server answers HTTP 404"));
}

TEST_CASE("index-shards says what is wrong with a folder", "[integration]") {
  const TemporaryFolder folder;
  const auto index = [&](const std::string& path) {
    return run({kTitanBinary, "index-shards", path});
  };
  CHECK(index(folder.path().string()).mentions("no tars in"));
  CHECK(index(folder.file("absent")).exit_code == 2);
  folder.write("a.tar", TarBuilder().add("0.jpg", "x").finished());
  const std::string mds = folder.write("index.json", R"({"version": 2, "shards": []})");
  const ProcessResult other = index(folder.path().string());
  CHECK(other.exit_code == 2);
  CHECK(other.mentions("index of another kind"));
  CHECK(slurp(mds) == R"({"version": 2, "shards": []})");
}

}  // namespace
}  // namespace titan::testing
