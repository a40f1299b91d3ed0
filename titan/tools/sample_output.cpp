#include "titan/tools/sample_output.h"

#include <algorithm>
#include <cstdio>
#include <system_error>
#include <utility>

#include "titan/data/tensor_file.h"
#include "titan/io/image_write.h"
#include "titan/models/flux/objective.h"
#include "titan/tools/shape_checker.h"

namespace titan {
namespace {

/// At most `longest` bytes, cut between characters of UTF-8.
std::string whole_characters(const std::string& text, std::size_t longest) {
  std::size_t end = std::min(longest, text.size());
  while (end > 0 && end < text.size() && (text[end] & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

}  // namespace

std::string label_of(const RunInfo& info, int64_t id) {
  const auto index = static_cast<std::size_t>(id);
  return index < info.class_names.size() ? info.class_names[index] : str_cat("class ", id);
}

Status write_pictures(const std::filesystem::path& folder, const SampleGroup& group,
                      double guidance, const std::vector<std::string>& labels,
                      const PictureSettings& settings) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error)
    return invalid_argument("[sample] cannot make ", folder.string(), ": ", error.message());
  for (int64_t k = 0; k < group.pictures.size(0); ++k) {
    constexpr std::size_t kLongest = 100;  // a caption can be longer than a file's name
    const std::string& label = labels[static_cast<std::size_t>(k)];
    std::string name =
        str_cat(whole_characters(label, kLongest), "-", group.heading, "-", k, ".png");
    std::replace(name.begin(), name.end(), ' ', '_');
    std::replace(name.begin(), name.end(), '/', '_');
    TITAN_RETURN_IF_ERROR(write_png((folder / name).string(), to_image(group.pictures[k]),
                                    picture_text(settings, label, guidance, k)));
  }
  return ok_status();
}

Status write_latents(const std::string& path, const std::vector<at::Tensor>& drawn,
                     const JobConfig& config) {
  const EncoderSection& encoder = config.encoder;
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    std::string name = "latents";
    if (drawn.size() > 1) name += str_cat(".guidance_", config.sampling.guidance[i]);
    tensors.emplace_back(name,
                         models::unscale_latents(drawn[i], {.shift = encoder.autoencoder_shift,
                                                            .scale = encoder.autoencoder_scale}));
  }
  std::error_code ignored;  // write_tensor_file reports what is wrong
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  TITAN_RETURN_IF_ERROR(write_tensor_file(path, tensors).status());
  std::printf("%s: latents\n", path.c_str());
  return ok_status();
}

void print_shape_score(const SampleGroup& group, const std::vector<ShapeWish>& wishes) {
  int64_t right = 0, asked = 0;
  for (int64_t k = 0; k < group.pictures.size(0); ++k) {
    const ShapeWish& wanted = wishes[static_cast<std::size_t>(k)];
    if (wanted.empty()) continue;
    ++asked;
    const ShapeGuess guess = classify_shape(to_image(group.pictures[k]));
    if (wanted.met_by(guess)) {
      ++right;
    } else {
      std::printf("  picture %lld: wanted %s, shows %s\n", static_cast<long long>(k),
                  wanted.name().c_str(), guess.name().c_str());
    }
  }
  std::printf("%s: %lld of %lld right (%.3f)\n", group.heading.c_str(),
              static_cast<long long>(right), static_cast<long long>(asked),
              asked == 0 ? 0.0 : static_cast<double>(right) / static_cast<double>(asked));
}

}  // namespace titan
