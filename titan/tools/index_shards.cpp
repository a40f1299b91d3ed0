#include "titan/tools/index_shards.h"

#include <cstdio>
#include <filesystem>

#include "titan/base/log.h"
#include "titan/base/outcome.h"
#include "titan/config/job_config.h"
#include "titan/data/tar_files.h"
#include "titan/io/atomic_file.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/remote/shard_counts.h"
#include "titan/tools/arguments.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIndexShardsHelp =
    "titan index-shards FOLDER [options]\n"
    "Counts the samples of the tars in FOLDER and writes FOLDER/index.json (the layout of the\n"
    "webdataset library's widsindex). A job that reads these tars from a web server or a bucket\n"
    "finds it beside them and begins at once, instead of fetching every tar once to count it.\n"
    "  --threads N        tars read at the same time (8)\n";

}  // namespace

Status index_shards(const std::string& folder, std::int64_t num_threads) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored))
    return not_found("[index-shards] no such folder (", folder, ")");
  const std::string path = (fs::path(folder) / "index.json").string();
  if (fs::exists(path, ignored)) {
    TITAN_ASSIGN_OR_RETURN(const std::string old, read_file(path));
    if (!is_shard_counts(old))
      return failed_precondition("[index-shards] ", path,
                                 " is an index of another kind (MDS?) and stays as it is");
  }
  JobConfig config;
  config.training.dataset = "index-shards";
  config.training.dataset_path = folder;
  TITAN_ASSIGN_OR_RETURN(const std::vector<fs::path> paths, tar_paths(config));
  TITAN_ASSIGN_OR_RETURN(const std::vector<TarIndex> tars,
                         open_tars(paths, num_threads, "index-shards"));
  std::vector<ShardCount> counts;
  std::int64_t num_samples = 0;
  for (const TarIndex& tar : tars) {
    counts.push_back({.url = fs::path(tar.path()).filename().string(),
                      .num_samples = tar.num_samples(),
                      .size_bytes = tar.size_bytes()});
    num_samples += tar.num_samples();
  }
  TITAN_RETURN_IF_ERROR(write_file_atomically(path, render_shard_counts(counts)));
  TITAN_LOG(INFO) << "[index-shards] " << num_samples << " samples in " << tars.size()
                  << " tars: " << path;
  return ok_status();
}

int index_shards_main(const std::vector<std::string>& args) {
  const auto parsed = Arguments::parse(args, {"threads", "help"});
  if (!parsed.ok()) return exit_with(annotate(parsed.status(), "index-shards"));
  if (parsed->has("help")) {
    std::fputs(kIndexShardsHelp, stdout);
    return 0;
  }
  if (parsed->words().size() != 1)
    return exit_with(
        invalid_argument("[index-shards] needs one FOLDER (titan index-shards --help)"));
  const auto threads = parsed->integer("threads", 8, 1, 1024);
  if (!threads.ok()) return exit_with(annotate(threads.status(), "index-shards"));
  return exit_with(index_shards(parsed->words()[0], *threads));
}

}  // namespace titan
