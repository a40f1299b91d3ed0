#include "titan/train/picture_settings.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "titan/base/hash.h"
#include "titan/config/render.h"
#include "titan/io/errno_status.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/mapped_file.h"
#include "titan/io/model_cache.h"
#include "titan/train/run_info.h"

namespace titan {
namespace {

namespace fs = std::filesystem;
constexpr const char* kSoftware = "Software";

std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

/// The settings that decide pixels, all others at their defaults, so that they do not count.
JobConfig pixel_settings(const JobConfig& config) {
  JobConfig kept;
  kept.model = config.model;
  kept.objective = config.objective;
  kept.encoder = config.encoder;
  kept.encoder.t5_encoder = kept.encoder.clip_encoder = kept.encoder.autoencoder_path =
      kept.encoder.decoder_path = kept.encoder.empty_encodings_path = {};  // contents count
  kept.training.img_size = config.training.img_size;
  kept.training.mixed_precision_param = config.training.mixed_precision_param;
  kept.dataset.image_size = config.dataset.image_size;
  kept.sampling.steps = config.sampling.steps;
  kept.sampling.seed = config.sampling.seed;
  kept.sampling.schedule_shift = config.sampling.schedule_shift;
  kept.sampling.base_shift = config.sampling.base_shift;
  kept.sampling.max_shift = config.sampling.max_shift;
  return kept;
}

/// "100" of ".../step-000100" or ".../weights-ema-000100.safetensors"; "" of another name.
std::string step_in(const std::string& path) {
  const fs::path whole(path);
  std::string name =
      whole.extension() == ".safetensors" ? whole.stem().string() : whole.filename().string();
  const std::size_t dash = name.rfind('-');
  if (dash == std::string::npos) return "";
  const std::string prefix = name.substr(0, dash);
  if (prefix != "step" && prefix != "weights" && prefix != "weights-ema") return "";
  int64_t step = -1;
  const char* end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data() + dash + 1, end, step);
  return parsed.ec == std::errc() && parsed.ptr == end ? std::to_string(step) : "";
}

}  // namespace

StatusOr<PictureSettings> picture_settings(const JobConfig& config, const std::string& weights,
                                           bool averages) {
  std::string all = render_toml(pixel_settings(config)) + (averages ? "averages\n" : "weights\n");
  const EncoderSection& encoder = config.encoder;
  const std::pair<std::string, std::string> files[] = {
      {weights, ""},
      {encoder.t5_encoder.value_or(""), "t5"},
      {encoder.clip_encoder.value_or(""), "clip"},
      {encoder.autoencoder_path.value_or(""), "autoencoder"},
      {encoder.decoder_path.value_or(""), ""},
      {encoder.empty_encodings_path.value_or(""), ""}};
  for (const auto& [path, role] : files) {
    const StatusOr<std::string> identity = identity_on_disk(path, role);
    // Whoever needs the file has complained before: a setting that is not used may name none.
    if (!identity.ok() && path == weights) return identity.status();
    all += identity.ok() ? *identity + '\n' : "absent\n";
  }
  return PictureSettings{.model = config.model.name + " " + config.model.flavor,
                         .weights = weights,
                         .step = step_in(weights),
                         .averages = averages,
                         .sampling_steps = config.sampling.steps,
                         .seed = static_cast<std::uint64_t>(config.sampling.seed),
                         .fingerprint = xxh3_128_hex(all.data(), all.size())};
}

StatusOr<std::string> identity_on_disk(const std::string& named, const std::string& role) {
  if (named.empty()) return std::string("none");
  TITAN_ASSIGN_OR_RETURN(const std::string path, resolve_model_path(named, role));
  std::error_code error;
  const fs::path index = fs::path(path) / "index.json";
  if (fs::is_regular_file(index, error)) {
    TITAN_ASSIGN_OR_RETURN(const std::string text, read_file(index.string()));
    return xxh3_128_hex(text.data(), text.size());
  }
  std::vector<std::string> files;
  if (fs::is_directory(path, error)) {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(path, error))
      if (entry.is_regular_file()) files.push_back(entry.path().string());
  } else {
    files.push_back(path);
  }
  std::sort(files.begin(), files.end());
  std::string identity;
  for (const std::string& file : files) {
    const auto size = fs::file_size(file, error);
    if (error) return errno_status(error.value(), "read", file);
    const auto time = fs::last_write_time(file, error).time_since_epoch().count();
    identity += str_cat(fs::path(file).filename().string(), " ", size, " ", time, "\n");
  }
  if (error) return errno_status(error.value(), "read", path);
  return identity;
}

PngText picture_text(const PictureSettings& settings, const std::string& prompt, double guidance,
                     int64_t number) {
  PngText text = {{"prompt", prompt},
                  {"negative_prompt", ""},
                  {"guidance", number_text(guidance)},
                  {"picture", std::to_string(number)}};
  const PngText rest = page_text(settings);
  text.insert(text.end(), rest.begin(), rest.end());
  return text;
}

PngText page_text(const PictureSettings& settings) {
  return {{"steps", std::to_string(settings.sampling_steps)},
          {"seed", std::to_string(settings.seed)},
          {"model", settings.model},
          {"weights", settings.weights},
          {"weights_step", settings.step},
          {"averages", settings.averages ? "yes" : "no"},
          {"fingerprint", settings.fingerprint},
          {kSoftware, str_cat("titan ", source_version(), " ", source_revision())}};
}

bool is_drawn(const std::string& path, const PngText& wanted) {
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return false;
  const StatusOr<MappedFile> file = MappedFile::open(path, MappedFile::Access::kRandom);
  if (!file.ok()) return false;
  const StatusOr<PngText> there =
      read_png_text({reinterpret_cast<const std::uint8_t*>(file->data()), file->size()});
  if (!there.ok()) return false;
  // The path of the weights may be written in many ways; the fingerprint tells them apart.
  return std::all_of(wanted.begin(), wanted.end(), [&](const auto& entry) {
    return entry.first == kSoftware || entry.first == "weights" ||
           find_text(*there, entry.first) == entry.second;
  });
}

}  // namespace titan
