#include "titan/data/sample_parts.h"

#include <algorithm>
#include <cctype>
#include <system_error>

#include <ATen/ATen.h>

#include "titan/config/job_config.h"
#include "titan/io/errno_status.h"
#include "titan/io/image_convert.h"

namespace titan {
namespace fs = std::filesystem;

ImageSides image_sides(const JobConfig& config) {
  const std::vector<int64_t>& sides = config.dataset.image_size;
  if (sides.size() == 2) return {sides[0], sides[1]};
  return {config.training.img_size, config.training.img_size};
}

TrainingImageOptions training_image_options(const JobConfig& config) {
  const ImageSides sides = image_sides(config);
  TrainingImageOptions options;
  options.height = static_cast<int>(sides.height);
  options.width = static_cast<int>(sides.width);
  options.crop = config.dataset.crop == "center" ? CropRule::kCenter : CropRule::kRandom;
  options.flip = config.dataset.flip;
  options.skip_small = !config.dataset.allow_upscale;
  options.fast_jpeg = config.dataset.fast_jpeg;
  return options;
}

at::Tensor image_tensor(const Image& image) {
  at::Tensor tensor = at::empty({3, image.height, image.width}, at::kFloat);
  write_chw(image, tensor.mutable_data_ptr<float>());
  return tensor;
}

at::Tensor label_tensor(int64_t label) {
  at::Tensor tensor = at::empty({}, at::kLong);
  *tensor.mutable_data_ptr<int64_t>() = label;
  return tensor;
}

Status check_label(int64_t label, int64_t num_classes) {
  if (label >= 0 && label < num_classes) return ok_status();
  return invalid_argument("class id out of range (", label, ", classes are 0 to ", num_classes - 1,
                          "; dataset.num_classes)");
}

bool ends_in(const fs::path& file, const std::vector<std::string>& endings) {
  std::string name = file.filename().string();
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return c < 0x80 ? std::tolower(c) : c; });
  return std::any_of(endings.begin(), endings.end(),
                     [&](const std::string& ending) { return name.ends_with(ending); });
}

StatusOr<std::vector<fs::path>> files_ending_in(const fs::path& folder,
                                                const std::vector<std::string>& endings) {
  std::vector<fs::path> files;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::error_code ignored;
    const bool hidden = entry->path().filename().string().starts_with('.');
    if (!hidden && entry->is_regular_file(ignored) && ends_in(entry->path(), endings))
      files.push_back(entry->path());
  }
  if (error) return errno_status(error.value(), "list folder", folder.string());
  std::sort(files.begin(), files.end());
  return files;
}

StatusOr<std::vector<std::string>> files_below(const fs::path& folder,
                                               const std::vector<std::string>& endings) {
  std::vector<std::string> files;
  std::error_code error;
  fs::recursive_directory_iterator file(folder, fs::directory_options::follow_directory_symlink,
                                        error);
  for (; !error && file != fs::recursive_directory_iterator(); file.increment(error)) {
    std::error_code ignored;
    const bool hidden = file->path().filename().string().starts_with('.');
    if (!hidden && ends_in(file->path(), endings) && !file->is_directory(ignored))
      files.push_back(file->path().lexically_relative(folder).string());
  }
  if (error) return errno_status(error.value(), "list folder", folder.string());
  std::sort(files.begin(), files.end());
  return files;
}

const std::vector<std::string>& image_endings() {
  static const std::vector<std::string> endings = {".jpg", ".jpeg", ".png", ".webp"};
  return endings;
}

}  // namespace titan
