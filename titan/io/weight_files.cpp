#include "titan/io/weight_files.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "titan/base/printable.h"
#include "titan/io/errno_status.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/shard_index.h"
#include "titan/io/torch_file.h"

namespace titan {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

/// A way of storing weights, in the order of preference.
struct Kind {
  std::vector<std::string> usual;    ///< names that libraries write
  std::string index;                 ///< ending of an index
  std::vector<std::string> endings;  ///< of any file
};

const std::array<Kind, 2>& kinds() {
  static const std::array<Kind, 2> kKinds = {
      Kind{{"model.safetensors", "diffusion_pytorch_model.safetensors"},
           ".safetensors.index.json",
           {kSafetensorsEnding}},
      Kind{{"pytorch_model.bin", "diffusion_pytorch_model.bin"},
           ".bin.index.json",
           {kTorchEnding, ".pt", ".pth"}}};
  return kKinds;
}

/// Second copies of the same weights in another type, most exact first.
constexpr std::array<std::string_view, 6> kVariants = {"fp32", "bf16", "fp16",
                                                       "fp8",  "int8", "non_ema"};

/// What trainers write beside the weights.
constexpr std::array<std::string_view, 6> kOther = {"training_args.bin", "optimizer.bin",
                                                    "optimizer.pt",      "scheduler.bin",
                                                    "scheduler.pt",      "rng_state.pth"};

bool ends_with(const std::string& text, const std::string& ending) {
  return text.size() > ending.size() && text.ends_with(ending);
}

bool is_variant(const std::string& name, std::string_view variant) {
  const std::string mark = "." + std::string(variant);  // model.fp16-00001-of-00002.safetensors
  return name.find(mark + ".") != std::string::npos || name.find(mark + "-") != std::string::npos;
}
bool is_any_variant(const std::string& name) {
  return std::any_of(kVariants.begin(), kVariants.end(),
                     [&](std::string_view variant) { return is_variant(name, variant); });
}

StatusOr<Names> names_in(const std::string& folder) {
  Names names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    const bool other = std::find(kOther.begin(), kOther.end(), name) != kOther.end();
    // A link of a Hugging Face cache may point at nothing (a download that broke off): it counts,
    // and opening it says so.
    if (!other && !entry.is_directory(error) && name.front() != '.') names.push_back(name);
  }
  if (error) return errno_status(error.value(), "read folder", folder);
  std::sort(names.begin(), names.end());
  return names;
}

Names with_endings(const Names& names, const std::vector<std::string>& endings) {
  Names found;
  for (const std::string& name : names)
    for (const std::string& ending : endings)
      if (ends_with(name, ending)) found.push_back(name);
  return found;
}

Status several(const std::string& folder, const char* what, const Names& names) {
  return invalid_argument("[weights] ", folder, " holds several ", what, "; name one of them (",
                          listed(names), ")");
}

/// The file or index among these names, "" where there is none.
StatusOr<std::string> choose(const std::string& folder, const Names& names) {
  for (const Kind& kind : kinds()) {
    for (const std::string& usual : kind.usual)
      if (std::find(names.begin(), names.end(), usual) != names.end()) return usual;
    const Names indexes = with_endings(names, {kind.index});
    if (indexes.size() > 1) return several(folder, "indexes", indexes);
    if (indexes.size() == 1) return indexes.front();
    const Names files = with_endings(names, kind.endings);
    if (files.size() > 1) return several(folder, "files without an index", files);
    if (files.size() == 1) return files.front();
  }
  return std::string();
}

/// As choose, where nothing else is there.
StatusOr<std::string> choose_variant(const std::string& folder, const Names& names) {
  for (const std::string_view variant : kVariants) {
    Names plain;  // model.safetensors of model.fp16.safetensors, also for indexes
    for (const std::string& name : names)
      if (is_variant(name, variant)) plain.push_back(name);
    // Both spellings of an index are in use: model.fp16.safetensors.index.json and
    // model.safetensors.index.fp16.json.
    const Names late = with_endings(plain, {".index." + std::string(variant) + ".json"});
    if (late.size() == 1) return late.front();
    TITAN_ASSIGN_OR_RETURN(const std::string found, choose(folder, plain));
    if (!found.empty()) return found;
  }
  return std::string();
}

StatusOr<std::string> find_in_folder(const std::string& folder) {
  TITAN_ASSIGN_OR_RETURN(const Names all, names_in(folder));
  Names names;
  for (const std::string& name : all)
    if (!is_any_variant(name)) names.push_back(name);
  TITAN_ASSIGN_OR_RETURN(std::string found, choose(folder, names));
  if (found.empty()) {
    TITAN_ASSIGN_OR_RETURN(found, choose_variant(folder, all));
  }
  if (!found.empty()) return (fs::path(folder) / found).string();
  const std::string transformer = (fs::path(folder) / "transformer").string();
  std::error_code none;
  if (fs::is_directory(transformer, none)) return find_in_folder(transformer);
  return not_found("[weights] ", folder, " holds no .safetensors file, no .bin and no index");
}

}  // namespace

StatusOr<std::string> find_weight_file(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (error && status.type() != fs::file_type::not_found)
    return errno_status(error.value(), "open", path);
  if (!fs::exists(status)) return not_found("[weights] ", path, " does not exist");
  if (!fs::is_directory(status)) return path;
  return find_in_folder(path);
}

bool is_shard_index(const std::string& path) {
  const std::string name = fs::path(path).filename().string();
  return name.find(".index.") != std::string::npos && name.ends_with(".json");
}

StatusOr<WeightFormat> weight_format(const std::string& path) {
  constexpr std::string_view kPointer = "version https://git-lfs";
  const std::string name = fs::path(path).filename().string();
  if (is_shard_index(path))
    return name.find(kTorchEnding) == std::string::npos ? WeightFormat::kSafetensors
                                                        : WeightFormat::kTorch;
  TITAN_ASSIGN_OR_RETURN(const FileDescriptor file, FileDescriptor::open_for_reading(path));
  TITAN_ASSIGN_OR_RETURN(const FileStamp stamp, file_stamp(path));
  std::array<std::byte, kPointer.size()> begin{};
  const std::size_t size = std::min<std::uint64_t>(begin.size(), stamp.size_bytes);
  TITAN_RETURN_IF_ERROR(read_exactly(file, 0, begin.data(), size, path));
  const std::string_view text(reinterpret_cast<const char*>(begin.data()), size);
  if (text == kPointer)
    return invalid_argument("[weights] ", path,
                            " is a pointer of Git LFS, not the file (git lfs pull fetches it)");
  if (looks_like_torch_file(std::span(begin.data(), size))) return WeightFormat::kTorch;
  const bool named = !with_endings({name}, kinds()[1].endings).empty();
  return named ? WeightFormat::kTorch : WeightFormat::kSafetensors;
}

std::string path_beside(const std::string& path, const std::string& name) {
  return (fs::path(path).parent_path() / name).string();
}

}  // namespace titan
