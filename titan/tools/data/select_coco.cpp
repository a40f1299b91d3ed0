#include "titan/tools/data/select_coco.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "titan/base/log.h"
#include "titan/base/outcome.h"
#include "titan/io/atomic_file.h"
#include "titan/io/atomic_folder.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/image_decode.h"
#include "titan/io/tar_writer.h"
#include "titan/tools/data/action.h"
#include "titan/tools/data/coco_subset.h"
#include "titan/tools/data/ordered_work.h"
#include "titan/tools/data/stored_png.h"

namespace titan::tools {
namespace {

namespace fs = std::filesystem;
using Png = std::vector<std::uint8_t>;

constexpr const char* kSelectCocoHelp =
    "titan convert-data select-coco ANNOTATIONS_JSON IMAGES_DIR OUTPUT [options]\n"
    "Selects the 29,696 pictures and captions that the Flux job evaluates on from COCO 2014's\n"
    "validation set: ANNOTATIONS_JSON is captions_val2014.json, IMAGES_DIR holds\n"
    "COCO_val2014_<id>.jpg. Writes tars (png, txt, json a sample) and subset.tsv into OUTPUT,\n"
    "which must not exist; it appears whole or not at all.\n"
    "  --num-samples N        samples to select (29696)\n"
    "  --seed N               seed of the order they are drawn in (2023)\n"
    "  --samples-per-shard N  samples in a tar (1000)\n"
    "  --output-size N        side of the pictures, which are squashed to a square (256)\n"
    "  --threads N            workers (one a core)\n";

std::string image_path(const SelectCocoOptions& options, const CocoSample& sample) {
  return (fs::path(options.images) / (coco_image_name(sample.image_id) + ".jpg")).string();
}

Status check_images(const SelectCocoOptions& options, const std::vector<CocoSample>& samples) {
  std::error_code ignored;
  if (!fs::is_directory(options.images, ignored))
    return not_found("[select-coco] no such folder of images (", options.images, ")");
  constexpr int kNamed = 5;
  int missing = 0;
  std::string names;
  for (const CocoSample& sample : samples) {
    const fs::path path = image_path(options, sample);
    if (fs::exists(path, ignored)) continue;
    if (++missing <= kNamed) names += str_cat(missing == 1 ? "" : ", ", path.filename().string());
  }
  if (missing == 0) return ok_status();
  return not_found("[select-coco] ", missing, " of ", samples.size(), " images are not in ",
                   options.images, ": ", names, missing > kNamed ? ", ..." : "",
                   " (unpack val2014.zip there)");
}

StatusOr<Png> make_png(const SelectCocoOptions& options, const CocoSample& sample) {
  const std::string path = image_path(options, sample);
  const auto make = [&]() -> StatusOr<Png> {
    TITAN_ASSIGN_OR_RETURN(const std::string bytes, read_file(path));
    TITAN_ASSIGN_OR_RETURN(
        const Image image,
        decode_stored_image({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}));
    return encode_stored_png(resize(image, options.size));
  };
  StatusOr<Png> png = make();
  if (!png.ok()) return annotate(png.status(), path);
  return png;
}

/// The text that Python's json.dumps(..., indent=2) gives.
std::string metadata_of(const CocoSample& sample) {
  const nlohmann::ordered_json json = {
      {"id", std::to_string(sample.image_id)},
      {"caption", sample.caption},
      {"filename", coco_image_name(sample.image_id) + ".png"},
      {"timestep", sample.timestep},
  };
  return json.dump(2, ' ', /*ensure_ascii=*/true);
}

/// Tars of so many samples each.
class Shards {
 public:
  Shards(std::string folder, int64_t samples_per_shard)
      : folder_(std::move(folder)), samples_per_shard_(samples_per_shard) {}

  Status add(const CocoSample& sample, const Png& png) {
    if (!tar_) {
      char name[32];
      std::snprintf(name, sizeof name, "shard_%05d.tar", count_++);
      TITAN_ASSIGN_OR_RETURN(TarWriter tar, TarWriter::create((fs::path(folder_) / name).string()));
      tar_.emplace(std::move(tar));
    }
    const std::string key = coco_key(sample.image_id);
    TITAN_RETURN_IF_ERROR(tar_->add(key + ".png", png.data(), png.size()));
    TITAN_RETURN_IF_ERROR(tar_->add(key + ".txt", sample.caption));
    TITAN_RETURN_IF_ERROR(tar_->add(key + ".json", metadata_of(sample)));
    return ++in_tar_ == samples_per_shard_ ? finish() : ok_status();
  }
  Status finish() {
    if (!tar_) return ok_status();
    TITAN_RETURN_IF_ERROR(tar_->finish());
    tar_.reset();
    in_tar_ = 0;
    return ok_status();
  }
  int count() const { return count_; }

 private:
  std::string folder_;
  int64_t samples_per_shard_;
  std::optional<TarWriter> tar_;
  int64_t in_tar_ = 0;
  int count_ = 0;
};

}  // namespace

Status select_coco(const SelectCocoOptions& options) {
  TITAN_ASSIGN_OR_RETURN(
      const std::vector<CocoSample> samples,
      select_coco_samples(options.annotations, options.num_samples, options.seed));
  const auto count = static_cast<int64_t>(samples.size());
  if (count < options.num_samples)
    TITAN_LOG(WARNING) << "[select-coco] " << options.annotations << " has captions of only "
                       << count << " images (" << options.num_samples << " samples asked)";
  TITAN_RETURN_IF_ERROR(check_images(options, samples));
  TITAN_ASSIGN_OR_RETURN(AtomicFolder folder, AtomicFolder::create(options.output));
  Shards shards(folder.path(), options.samples_per_shard);
  ActionProgress progress("select-coco", "images");
  const auto make = [&](int64_t i) -> StatusOr<std::optional<Png>> {
    if (i >= count) return std::nullopt;
    return make_png(options, samples[static_cast<std::size_t>(i)]);
  };
  const auto use = [&](int64_t i, const Png& png) -> StatusOr<bool> {
    TITAN_RETURN_IF_ERROR(shards.add(samples[static_cast<std::size_t>(i)], png));
    progress.tell(i + 1, static_cast<double>(i + 1) / static_cast<double>(count));
    return true;
  };
  TITAN_RETURN_IF_ERROR(ordered_work<Png>(0, num_workers(options.num_threads), make, use));
  TITAN_RETURN_IF_ERROR(shards.finish());
  TITAN_RETURN_IF_ERROR(write_file_atomically((fs::path(folder.path()) / "subset.tsv").string(),
                                              coco_table(samples)));
  TITAN_RETURN_IF_ERROR(folder.commit());
  TITAN_LOG(INFO) << "[select-coco] " << count << " samples in " << shards.count() << " tars and "
                  << options.output << "/subset.tsv, " << progress.seconds() << " s";
  return ok_status();
}

int select_coco_main(const std::vector<std::string>& args) {
  const auto parsed =
      parse_action("select-coco", args,
                   {"num-samples", "seed", "samples-per-shard", "output-size", "threads"}, 3);
  if (!parsed.ok()) return exit_with(parsed.status());
  if (parsed->has("help")) {
    std::fputs(kSelectCocoHelp, stdout);
    return 0;
  }
  const auto number = [&](const char* name, int64_t otherwise, int64_t low, int64_t high) {
    return parsed->integer(name, otherwise, low, high);
  };
  const SelectCocoOptions defaults;
  const auto run = [&]() -> Status {
    SelectCocoOptions options{.annotations = parsed->words()[0],
                              .images = parsed->words()[1],
                              .output = parsed->words()[2]};
    TITAN_ASSIGN_OR_RETURN(options.num_samples,
                           number("num-samples", defaults.num_samples, 1, INT64_MAX));
    TITAN_ASSIGN_OR_RETURN(const int64_t seed, number("seed", defaults.seed, 0, UINT32_MAX));
    options.seed = static_cast<std::uint32_t>(seed);
    TITAN_ASSIGN_OR_RETURN(options.samples_per_shard,
                           number("samples-per-shard", defaults.samples_per_shard, 1, INT64_MAX));
    TITAN_ASSIGN_OR_RETURN(const int64_t side,
                           number("output-size", defaults.size.width, 1, 1 << 15));
    options.size = {static_cast<int>(side), static_cast<int>(side)};
    TITAN_ASSIGN_OR_RETURN(options.num_threads, number("threads", 0, 1, 4096));
    return select_coco(options);
  };
  return exit_with(run());
}

}  // namespace titan::tools
