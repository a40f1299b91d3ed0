#include "tests/support/catch.h"

#include "tests/support/golden.h"

#include <algorithm>
#include <fstream>
#include <limits>

#include <ATen/ATen.h>

#include "titan/base/check.h"
#include "titan/data/tensor_file.h"

namespace titan::testing {
namespace fs = std::filesystem;

std::vector<fs::path> golden_folders(const std::string& folder) {
  std::vector<fs::path> found;
  if (const std::optional<fs::path> root = golden_root(); root && fs::is_directory(*root / folder))
    found.push_back(*root / folder);
  if (const fs::path own = fs::path("tests/golden") / folder; fs::is_directory(own))
    found.push_back(own);
  return found;
}

std::vector<fs::path> golden_cases(const std::string& folder, const std::string& prefix) {
  std::vector<fs::path> cases;
  for (const fs::path& root : golden_folders(folder)) {
    for (const fs::directory_entry& entry : fs::directory_iterator(root)) {
      const fs::path& path = entry.path();
      if (path.extension() != ".json" || path.stem().string().rfind(prefix, 0) != 0) continue;
      cases.push_back(path.parent_path() / path.stem());
    }
  }
  std::sort(cases.begin(), cases.end());
  return cases;
}

const at::Tensor& GoldenCase::at(const std::string& tensor) const {
  const auto found = tensors.find(tensor);
  TITAN_CHECK(found != tensors.end(), "[golden] case ", name, " has no tensor '", tensor, "'");
  return found->second;
}

std::map<std::string, at::Tensor> GoldenCase::with_prefix(const std::string& prefix) const {
  std::map<std::string, at::Tensor> chosen;
  for (const auto& [key, tensor] : tensors)
    if (key.rfind(prefix, 0) == 0) chosen.emplace(key.substr(prefix.size()), tensor);
  return chosen;
}

GoldenCase load_golden(const fs::path& path_without_extension) {
  // Not replace_extension: a case may have a dot in its name.
  const std::string stem = path_without_extension.string();
  GoldenCase result{.name = path_without_extension.filename().string(), .json = {}, .tensors = {}};
  std::ifstream text(stem + ".json");
  TITAN_CHECK(text.good(), "[golden] cannot open ", stem, ".json");
  result.json = nlohmann::json::parse(text);
  if (!fs::exists(stem + ".safetensors")) return result;
  const StatusOr<TensorFile> file = TensorFile::open(stem + ".safetensors");
  TITAN_CHECK(file.ok(), message_of(file.status()));
  for (const TensorEntry& entry : file->entries())
    result.tensors.emplace(entry.name, file->view(entry).clone());
  return result;
}

double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  if (!a.defined() || !b.defined() || a.sizes() != b.sizes()) return kInfinite;
  if (b.numel() == 0) return 0;
  const auto in_double = [](const at::Tensor& t) { return t.detach().cpu().to(at::kDouble); };
  const at::Tensor expected = in_double(b);
  const double difference = (in_double(a) - expected).abs().max().item<double>();
  if (!(difference < kInfinite)) return kInfinite;  // NaN too
  const double scale = expected.abs().max().item<double>();
  return scale > 0 ? difference / scale : difference;
}

ErrorReport::~ErrorReport() {
  for (const auto& [group, value] : groups_)
    std::printf("[golden] %s: %-24s %4d tensors, largest relative error %.3g (%s)\n",
                title_.c_str(), group.c_str(), value.count, value.largest, value.worst.c_str());
}

double ErrorReport::add(const std::string& group, const std::string& name, const at::Tensor& actual,
                        const at::Tensor& expected) {
  return add(group, name, relative_difference(actual, expected));
}

double ErrorReport::add(const std::string& group, const std::string& name, double difference) {
  Group& entry = groups_[group];
  ++entry.count;
  if (entry.worst.empty() || !(difference <= entry.largest)) {
    entry.largest = difference;
    entry.worst = name;
  }
  return difference;
}

double ErrorReport::largest(const std::string& group) const {
  const auto found = groups_.find(group);
  return found == groups_.end() ? 0 : found->second.largest;
}

}  // namespace titan::testing
