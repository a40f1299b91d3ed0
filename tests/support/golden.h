// golden.h: reference cases on disk (NAME.json beside NAME.safetensors) and the measure of
// difference. Include tests/support/catch.h first.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <nlohmann/json.hpp>

#include "tests/support/golden_root.h"

namespace titan::testing {

/// `<golden_root>/<folder>` and our own small cases tests/golden/<folder>, those that exist.
std::vector<std::filesystem::path> golden_folders(const std::string& folder);

/// Paths without extension of the cases in `folder` whose name begins with `prefix`, sorted, over
/// all golden_folders: what load_golden takes. Empty: TITAN_SKIP(kNoGolden).
std::vector<std::filesystem::path> golden_cases(const std::string& folder,
                                                const std::string& prefix = "");

struct GoldenCase {
  std::string name;
  nlohmann::json json;
  std::map<std::string, at::Tensor> tensors;  ///< empty where the case has no safetensors file

  bool contains(const std::string& tensor) const { return tensors.count(tensor) != 0; }
  /// Throws titan::Error where the case lacks the tensor.
  const at::Tensor& at(const std::string& tensor) const;
  /// Tensors whose name begins with `prefix`, the prefix cut off.
  std::map<std::string, at::Tensor> with_prefix(const std::string& prefix) const;
};

/// Loads NAME.json and, where it exists, NAME.safetensors. Tensors are copies: tests may write to
/// them.
GoldenCase load_golden(const std::filesystem::path& path_without_extension);

/// max|a - b| / max|b| in double; max|a - b| where b is all zero. Infinite for other shapes or a
/// non-finite difference.
double relative_difference(const at::Tensor& a, const at::Tensor& b);

/// Largest difference of each tensor group; printed, one line a group, on destruction.
class ErrorReport {
 public:
  explicit ErrorReport(std::string title) : title_(std::move(title)) {}
  ~ErrorReport();
  ErrorReport(const ErrorReport&) = delete;
  ErrorReport& operator=(const ErrorReport&) = delete;

  /// Notes and returns relative_difference(actual, expected).
  double add(const std::string& group, const std::string& name, const at::Tensor& actual,
             const at::Tensor& expected);
  /// Notes a difference measured otherwise.
  double add(const std::string& group, const std::string& name, double difference);
  /// Largest so far; 0 for an unknown group.
  double largest(const std::string& group) const;

 private:
  struct Group {
    double largest = 0;
    std::string worst;
    int count = 0;
  };
  std::string title_;
  std::map<std::string, Group> groups_;
};

}  // namespace titan::testing
