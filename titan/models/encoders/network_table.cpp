#include "titan/models/encoders/network_table.h"

#include <algorithm>
#include <cctype>
#include <charconv>

namespace titan::models {
namespace {

// Beyond any network; they keep hostile names and shapes from costing memory or overflowing.
constexpr int64_t kDeepest = 1024;
constexpr int64_t kWidest = int64_t{1} << 40;

/// A size taken apart: factor x symbol, or a number alone (no symbol).
struct Size {
  int64_t factor = 1;
  std::string symbol;
};

Size parse(const std::string& size) {
  Size parsed;
  const char* const end = size.data() + size.size();
  const auto number = std::from_chars(size.data(), end, parsed.factor);
  parsed.symbol = std::string(number.ec == std::errc() ? number.ptr : size.data(), end);
  return parsed;
}

}  // namespace

int64_t size_value(const std::string& size, const NetworkSizes& sizes) {
  const Size parsed = parse(size);
  if (parsed.symbol.empty()) return parsed.factor;
  const auto found = sizes.find(parsed.symbol);
  int64_t value = -1;
  if (found == sizes.end() || found->second < 0 ||
      __builtin_mul_overflow(parsed.factor, found->second, &value))
    return -1;
  return value;
}

std::string size_text(const std::string& size, const NetworkSizes& sizes) {
  const int64_t value = size_value(size, sizes);
  return value < 0 ? "?" : std::to_string(value);
}

NetworkSizes vote_sizes(const std::vector<SymbolicTensor>& table,
                        const std::vector<TensorSpec>& stored) {
  std::unordered_map<std::string, const TensorSpec*> by_name;
  for (const TensorSpec& tensor : stored) by_name.emplace(tensor.name, &tensor);
  std::map<std::string, std::map<int64_t, int>> votes;
  for (const SymbolicTensor& tensor : table) {
    const auto found = by_name.find(tensor.name);
    if (found == by_name.end() || found->second->shape.size() != tensor.shape.size()) continue;
    for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
      const Size size = parse(tensor.shape[i]);
      const int64_t value = found->second->shape[i];
      if (!size.symbol.empty() && value >= 0 && value <= kWidest && value % size.factor == 0)
        ++votes[size.symbol][value / size.factor];
    }
  }
  NetworkSizes sizes;
  for (const auto& [symbol, values] : votes) {
    sizes[symbol] =
        std::max_element(values.begin(), values.end(), [](const auto& a, const auto& b) {
          return a.second < b.second;
        })->first;
  }
  return sizes;
}

std::vector<TensorSpec> specs_of(const std::vector<SymbolicTensor>& table,
                                 const NetworkSizes& sizes, TensorType type) {
  std::vector<TensorSpec> specs;
  for (const SymbolicTensor& tensor : table) {
    TensorSpec spec{tensor.name, type, {}};
    for (const std::string& size : tensor.shape) spec.shape.push_back(size_value(size, sizes));
    specs.push_back(std::move(spec));
  }
  return specs;
}

int64_t count_numbered(const std::vector<TensorSpec>& stored, const std::string& prefix) {
  int64_t count = 0;
  for (const TensorSpec& tensor : stored) {
    const std::string& name = tensor.name;
    if (name.compare(0, prefix.size(), prefix) != 0) continue;
    int64_t number = -1;
    const char* const end = name.data() + name.size();
    const auto parsed = std::from_chars(name.data() + prefix.size(), end, number);
    if (parsed.ec != std::errc() || parsed.ptr == end || *parsed.ptr != '.') continue;
    if (number >= 0 && number < kDeepest) count = std::max(count, number + 1);
  }
  return count;
}

}  // namespace titan::models
