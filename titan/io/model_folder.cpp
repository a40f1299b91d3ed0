#include "titan/io/model_folder.h"

#include <array>
#include <filesystem>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "titan/base/printable.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/model_cache.h"
#include "titan/io/shard_index.h"
#include "titan/io/weight_files.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfig = "config.json";
/// Of diffusers pipelines.
constexpr std::array<const char*, 3> kTextEncoders = {"text_encoder", "text_encoder_2",
                                                      "text_encoder_3"};
constexpr std::array<const char*, 3> kTokenizers = {"tokenizer", "tokenizer_2", "tokenizer_3"};

bool is_there(const fs::path& path) {
  std::error_code none;
  return fs::exists(path, none);
}
bool is_folder(const fs::path& path) {
  std::error_code none;
  return fs::is_directory(path, none);
}

std::vector<std::string> tokenizer_files(const std::string& role) {
  if (role == "t5") return {"spiece.model"};
  if (role == "clip") return {"vocab.json", "merges.txt"};
  return {};
}

/// Whether a config.json says that it is of this kind of model ("model_type": "clip_text_model").
bool config_fits(const fs::path& config, const std::string& role) {
  const StatusOr<std::string> text = read_file(config.string(), /*max_bytes=*/1 << 20);
  if (!text.ok()) return false;
  const auto json = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return false;
  const auto type = json.find("model_type");
  return type != json.end() && type->is_string() &&
         type->get_ref<const std::string&>().starts_with(role);
}

/// The sub-folder of a pipeline that plays the role, else the folder itself.
fs::path part_of_pipeline(const fs::path& folder, const std::string& role) {
  if (is_there(folder / kConfig)) return folder;
  if (role == "autoencoder") {
    const bool is_file_here = is_there(folder / "ae.safetensors");
    return !is_file_here && is_folder(folder / "vae") ? folder / "vae" : folder;
  }
  for (const char* part : kTextEncoders)
    if (config_fits(folder / part / kConfig, role)) return folder / part;
  return folder;
}

std::vector<std::string> places_of(const fs::path& folder, const fs::path& asked) {
  std::vector<std::string> places = {folder.string()};
  const std::string name = folder.filename().string();
  const auto add = [&](const fs::path& place) {
    if (is_folder(place)) places.push_back(place.string());
  };
  for (std::size_t i = 0; i < kTextEncoders.size(); ++i)
    if (name == kTextEncoders[i]) add(folder.parent_path() / kTokenizers[i]);
  for (const char* tokenizer : kTokenizers) add(folder / tokenizer);
  if (asked != folder) add(asked);
  return places;
}

/// The weights' file or index; "" and entries in `missing` where there is none.
StatusOr<std::string> find_weights(const fs::path& folder, const std::string& role,
                                   std::vector<std::string>& missing) {
  const fs::path own = folder / "ae.safetensors";  // Black Forest Labs' name, beside flux1-*.
  StatusOr<std::string> found = role == "autoencoder" && is_there(own)
                                    ? StatusOr<std::string>(own.string())
                                    : find_weight_file(folder.string());
  if (found.status().code() == absl::StatusCode::kNotFound) {
    missing.emplace_back(role == "autoencoder"
                             ? "weights (ae.safetensors or diffusion_pytorch_model.safetensors)"
                             : "weights (model.safetensors or pytorch_model.bin, whole or in parts "
                               "with an index)");
    return std::string();
  }
  if (!found.ok()) return found;
  std::error_code none;
  if (!is_there(*found)) {
    missing.push_back(str_cat(fs::path(*found).filename().string(), " (a link to ",
                              fs::read_symlink(*found, none).string(),
                              ", which is not there: the download did not end)"));
    return std::string();
  }
  if (!is_shard_index(*found)) return found;
  TITAN_ASSIGN_OR_RETURN(const WeightFormat format, weight_format(*found));
  TITAN_ASSIGN_OR_RETURN(const std::string text, read_file(*found, /*max_bytes=*/256 << 20));
  const StatusOr<ShardMap> index =
      parse_shard_index(text, format == WeightFormat::kTorch ? kTorchEnding : kSafetensorsEnding);
  if (!index.ok()) return annotate(index.status(), "[weights] " + *found);
  for (const std::string& file : files_of(*index))
    if (!is_there(folder / file)) missing.push_back(file);
  return found;
}

Status is_missing(const std::string& role, const std::string& path,
                  const std::vector<std::string>& missing, const std::vector<std::string>& places) {
  return not_found("[", role, "] ", path, " lacks ", listed(missing), " (looked in ",
                   listed(places), "); ", how_to_get(role));
}

}  // namespace

std::string how_to_get(const std::string& role) {
  return "scripts/download.sh " + role + " DIR gets it";
}

StatusOr<std::string> ModelFolder::file(const std::string& name) const {
  for (const std::string& place : places)
    if (is_there(fs::path(place) / name)) return (fs::path(place) / name).string();
  return is_missing(role, path, {name}, places);
}

StatusOr<ModelFolder> find_model_folder(const std::string& path, const std::string& role,
                                        Needs needs) {
  StatusOr<std::string> resolved = resolve_model_path(path, role);
  if (!resolved.ok()) {
    const bool absent = resolved.status().code() == absl::StatusCode::kNotFound;
    const std::string how = absent ? "; " + how_to_get(role) : "";
    return Status(resolved.status().code(),
                  str_cat("[", role, "] ", message_of(resolved.status()), how));
  }
  const fs::path asked = *resolved;
  const bool is_file = !is_folder(asked);
  const fs::path folder = is_file ? asked.parent_path() : part_of_pipeline(asked, role);
  ModelFolder found{.role = role, .path = folder.string()};
  if (is_file) found.weights = asked.string();
  found.places = places_of(folder, is_file ? folder : asked);
  std::vector<std::string> missing;
  if (is_there(folder / kConfig)) {
    found.config = (folder / kConfig).string();
  } else if (role != "autoencoder") {
    missing.emplace_back(kConfig);
  }
  if (!is_file && needs == Needs::kConfigAndWeights) {
    TITAN_ASSIGN_OR_RETURN(found.weights, find_weights(folder, role, missing));
  }
  if (missing.empty()) return found;
  for (const std::string& name : tokenizer_files(role))  // all that is missing at once
    if (!found.file(name).ok()) missing.push_back(name);
  return is_missing(role, path, missing, found.places);
}

}  // namespace titan
