#include "titan/models/flux/name_layout.h"

#include <algorithm>
#include <charconv>
#include <map>

namespace titan::models {
namespace {

// Beyond any model; they keep hostile names and shapes from costing memory or overflowing sums.
constexpr int64_t kDeepest = 1024;
constexpr int64_t kWidest = int64_t{1} << 40;

/// Number of the block in "<prefix>17.rest", -1 where it is another name.
int64_t block_of(const std::string& name, const std::string& prefix) {
  if (name.compare(0, prefix.size(), prefix) != 0) return -1;
  int64_t block = -1;
  const char* end = name.data() + name.size();
  const auto result = std::from_chars(name.data() + prefix.size(), end, block);
  return result.ec == std::errc() && result.ptr != end && *result.ptr == '.' ? block : -1;
}

class SizeVote {
 public:
  void add(const std::string& expression, int64_t value) {
    const char symbol = expression.back();
    if (value > kWidest || expression.find('+') != std::string::npos || symbol < 'a' ||
        symbol > 'z')
      return;
    const int64_t factor = evaluate_size(expression, {{symbol, 1}});
    if (value % factor == 0) ++votes_[symbol][value / factor];
  }
  FluxSizes result() const {
    FluxSizes sizes;
    for (const auto& [symbol, values] : votes_) {
      const auto most =
          std::max_element(values.begin(), values.end(),
                           [](const auto& a, const auto& b) { return a.second < b.second; });
      sizes[symbol] = most->first;
    }
    return sizes;
  }

 private:
  std::map<char, std::map<int64_t, int>> votes_;
};

}  // namespace

TensorIndex index_of(const std::vector<TensorSpec>& stored) {
  TensorIndex index;
  for (const TensorSpec& tensor : stored) index.emplace(tensor.name, &tensor);
  return index;
}

FluxLayout flux_layout_of(const std::vector<TensorSpec>& stored, const std::string& format) {
  const bool diffusers = format == "diffusers";
  FluxLayout layout;
  layout.qkv_bias = false;
  bool projections = false;
  for (const TensorSpec& tensor : stored) {
    const std::string& name = tensor.name;
    const auto note = [&](int64_t& depth, const char* prefix) {
      const int64_t block = block_of(name, prefix);
      if (block >= 0 && block < kDeepest) depth = std::max(depth, block + 1);
    };
    note(layout.depth, diffusers ? "transformer_blocks." : "double_blocks.");
    note(layout.depth_single, diffusers ? "single_transformer_blocks." : "single_blocks.");
    layout.guidance = layout.guidance ||
                      name.find(diffusers ? "guidance_embedder." : "guidance_in.") != name.npos;
    const char* projection = diffusers ? "attn.to_q." : "_attn.qkv.";
    if (name.find(projection) == name.npos || block_of(name, "single_transformer_blocks.") >= 0)
      continue;
    projections = true;
    layout.qkv_bias = layout.qkv_bias || name.ends_with(".bias");
  }
  if (!projections) layout.qkv_bias = true;
  return layout;
}

FluxSizes flux_sizes_of(const std::vector<FluxTensor>& tensors, const TensorIndex& stored,
                        const std::string& format) {
  SizeVote vote;
  int64_t joined = -1;  // 3h+m of a model without double blocks
  for (const FluxTensor& tensor : tensors) {
    for (const FluxPart& part : tensor.parts(format)) {
      const auto found = stored.find(part.name);
      if (found == stored.end() || found->second->shape.empty()) continue;
      const std::vector<int64_t>& shape = found->second->shape;
      vote.add(FluxTensor::rows_of(part), shape[0]);
      if (!tensor.columns.empty() && shape.size() == 2) vote.add(tensor.columns, shape[1]);
      if (tensor.rows == "3h+m" && joined < 0 && shape[0] <= kWidest) joined = shape[0];
    }
  }
  FluxSizes sizes = vote.result();
  const int64_t qkv = evaluate_size("3h", sizes);
  if (!sizes.contains('m') && qkv >= 0 && joined > qkv) sizes['m'] = joined - qkv;
  return sizes;
}

}  // namespace titan::models
