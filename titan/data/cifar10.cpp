// CIFAR-10, binary version (https://www.cs.toronto.edu/~kriz/cifar.html): records of one label byte
// and 3 x 32 x 32 bytes, red, green and blue planes one after the other.
#include <algorithm>
#include <filesystem>
#include <utility>

#include "titan/config/job_config.h"
#include "titan/data/builtin_datasets.h"
#include "titan/data/sample_parts.h"
#include "titan/io/mapped_file.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

constexpr int kSide = 32;
constexpr int64_t kPlane = kSide * kSide;
constexpr int64_t kRecord = 1 + 3 * kPlane;
const std::vector<std::string>& names() {
  static const std::vector<std::string> list = {"airplane", "automobile", "bird",  "cat",  "deer",
                                                "dog",      "frog",       "horse", "ship", "truck"};
  return list;
}

class Cifar10 : public Dataset {
 public:
  Cifar10(std::vector<MappedFile> files, const TrainingImageOptions& options, int64_t num_classes)
      : files_(std::move(files)), options_(options), num_classes_(num_classes) {
    for (const MappedFile& file : files_) {
      size_ += static_cast<int64_t>(file.size()) / kRecord;
      ends_.push_back(size_);
    }
  }

  int64_t size() const override { return size_; }

  StatusOr<Sample> read(int64_t index, const DrawKey& key) const override {
    const std::uint8_t* record = record_of(index);
    const int64_t label = record[0];
    if (const Status status = check_label(label, std::min<int64_t>(num_classes_, 10)); !status.ok())
      return annotate(status, describe(index));
    Image image(kSide, kSide, PixelMode::kRgb);
    for (int64_t pixel = 0; pixel < kPlane; ++pixel)
      for (int64_t colour = 0; colour < 3; ++colour)
        image.pixels[pixel * 3 + colour] = record[1 + colour * kPlane + pixel];
    TITAN_ASSIGN_OR_RETURN(
        const Image prepared,
        prepare_training_image(
            std::move(image), options_,
            {.seed = key.seed, .epoch = key.epoch, .sample = static_cast<std::uint64_t>(index)}));
    Sample sample;
    sample.fields.set("image", image_tensor(prepared));
    sample.fields.set("label", label_tensor(label));
    sample.caption = "a photo of a " + names()[label];
    return sample;
  }

  std::string describe(int64_t index) const override {
    const std::size_t file = file_of(index);
    return str_cat(fs::path(files_[file].path()).filename().string(), ":", index - begin_of(file));
  }
  std::optional<int64_t> label_of(int64_t index) const override { return record_of(index)[0]; }
  int64_t num_classes() const override { return num_classes_; }
  std::vector<std::string> class_names() const override { return names(); }

  std::string fingerprint() const override {
    Fingerprint fingerprint;
    for (const MappedFile& file : files_)
      fingerprint.add(fs::path(file.path()).filename().string(), " ", file.size());
    return fingerprint.hex();
  }

 private:
  std::size_t file_of(int64_t index) const {
    return static_cast<std::size_t>(std::upper_bound(ends_.begin(), ends_.end(), index) -
                                    ends_.begin());
  }
  int64_t begin_of(std::size_t file) const { return file == 0 ? 0 : ends_[file - 1]; }
  const std::uint8_t* record_of(int64_t index) const {
    TITAN_CHECK(index >= 0 && index < size_, "[cifar10] sample out of range (", index, " of ",
                size_, ")");
    const std::size_t file = file_of(index);
    return reinterpret_cast<const std::uint8_t*>(files_[file].data()) +
           (index - begin_of(file)) * kRecord;
  }

  std::vector<MappedFile> files_;
  TrainingImageOptions options_;
  int64_t num_classes_;
  std::vector<int64_t> ends_;  ///< index behind the last sample of each file
  int64_t size_ = 0;
};

}  // namespace

StatusOr<std::unique_ptr<Dataset>> open_cifar10(const JobConfig& config) {
  TITAN_ASSIGN_OR_RETURN(fs::path folder, dataset_path(config));
  std::error_code ignored;
  if (const fs::path inside = folder / "cifar-10-batches-bin"; fs::is_directory(inside, ignored))
    folder = inside;
  TITAN_ASSIGN_OR_RETURN(std::vector<fs::path> paths, files_ending_in(folder, {".bin"}));
  std::erase_if(paths, [](const fs::path& path) {
    return !path.filename().string().starts_with("data_batch");
  });
  std::vector<MappedFile> files;
  for (const fs::path& path : paths) {
    TITAN_ASSIGN_OR_RETURN(MappedFile file,
                           MappedFile::open(path.string(), MappedFile::Access::kRandom));
    if (file.size() == 0 || file.size() % kRecord != 0)
      return data_loss("[cifar10] ", path.string(), " is not whole records of ", kRecord,
                       " bytes (", file.size(), " bytes): truncated, or not the binary version");
    files.push_back(std::move(file));
  }
  if (files.empty())
    return not_found("[cifar10] no data_batch_*.bin in ", folder.string(),
                     " (the binary version; scripts/download.sh cifar10 DIR gets it)");
  const int64_t num_classes = config.dataset.num_classes > 0 ? config.dataset.num_classes : 10;
  return std::make_unique<Cifar10>(std::move(files), training_image_options(config), num_classes);
}

}  // namespace titan
