#include "tests/support/catch.h"

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "titan/io/image_write.h"

#include "tests/data/mds_bytes.h"
#include "tests/integration/training.h"
#include "tests/io/remote_fixture.h"
#include "tests/support/golden_root.h"
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

/// Settings of a tiny text-to-image job that encodes as it trains.
std::vector<std::string> online_job(const std::string& run_folder, const std::string& data) {
  namespace fs = std::filesystem;
  const std::string root = fs::absolute(*golden_root() / "encoders").string();
  const auto config = [&](const std::string& encoder) {
    return nlohmann::json::parse(slurp(root + encoder + "/config.json"));
  };
  const nlohmann::json clip = config("/clip/tiny");
  return tiny_flux(
      run_folder,
      {"--training.dataset=mds", "--training.dataset_path=" + data, "--training.img_size=32",
       "--training.batch_size=4", "--training.steps=8", "--training.mixed_precision_param=float32",
       "--model.args.in_channels=192",
       "--eval.dataset=", "--encoder.t5_encoder=" + root + "/t5/tiny",
       "--encoder.clip_encoder=" + root + "/clip/tiny", "--encoder.pixel_patch=4",
       "--encoder.context_in_dim=" + config("/t5/tiny").at("d_model").dump(),
       "--encoder.vec_in_dim=" + clip.value("text_config", clip).at("hidden_size").dump()});
}

TEST_CASE("Two ranks read MDS shards from a server as from a folder: equal losses, one download",
          "[integration]") {
  if (!can_serve()) TITAN_SKIP(kNoServer);
  if (!golden_root() || !std::filesystem::exists(*golden_root() / "encoders/t5/tiny/spiece.model"))
    TITAN_SKIP("no golden encoders");
  const Remote remote;
  std::vector<nlohmann::json> entries;
  for (int number = 0; number < 3; ++number) {
    const std::string name = str_cat("shard.0000", number, ".mds");
    MdsShardBytes shard = make_shard(name, kMdsColumns, rows_of(60 * number, 8));
    const std::string zip = compressed(shard.bytes);
    shard.entry["compression"] = "zstd";
    shard.entry["zip_data"] = {{"basename", name + ".zstd"}, {"bytes", zip.size()}};
    remote.folder.write(name + ".zstd", zip);
    entries.push_back(shard.entry);
  }
  write_mds_index(remote.folder, entries);
  const auto run_on = [&](const std::string& name, const std::string& path, int deadline_s = 300) {
    std::vector<std::string> arguments = online_job(remote.here.file(name), path);
    arguments.push_back("--dataset.cache_dir=" + remote.here.file("cache"));
    arguments.push_back(str_cat("--dataset.remote_deadline_s=", deadline_s));
    return train(arguments, {{"NGPU", "2"}, {"TITAN_CACHE", remote.here.file("home")}});
  };
  const ProcessResult local = run_on("local", remote.folder.path().string());
  INFO(local.output);
  REQUIRE(local.exit_code == 0);
  const ProcessResult served = run_on("served", remote.server.url("broken/"));
  INFO(served.output);
  REQUIRE(served.exit_code == 0);
  REQUIRE(losses(remote.here.file("local")).size() == 8);
  CHECK(losses(remote.here.file("served")) == losses(remote.here.file("local")));
  // Each shard once for both ranks: broken off in its middle, then the rest of it.
  std::istringstream lines(remote.log());
  int begun = 0, resumed = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.find("shard.") == std::string::npos) continue;
    ++(line.ends_with(" -") ? begun : resumed);
  }
  CHECK(begun == 3);
  CHECK(resumed == 3);

  const ProcessResult absent = run_on("absent", remote.server.url("files/nowhere/"));
  CHECK(absent.exit_code == 2);
  CHECK(absent.mentions("files/nowhere/ has no index.json"));
  // Shards that do not come end the run at the first sample, not after a hundred of them.
  const ProcessResult gone = run_on("gone", remote.server.url("only-404/"));
  CHECK(gone.exit_code == 2);
  CHECK(gone.mentions("cannot read shard.00000.mds:0: [http] " +
                      remote.server.url("only-404/shard.00000.mds.zstd") +
                      ": the server answers HTTP 404"));
  const ProcessResult down = run_on("down", remote.server.url("only-503/"), 2);
  CHECK(down.exit_code == 1);  // may pass
  CHECK(
      down.mentions("only-503/shard.00000.mds.zstd: the server answers HTTP 503; given up after"));
  CHECK_FALSE(down.mentions("only-503/shard.00001"));
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
