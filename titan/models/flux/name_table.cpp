#include "titan/models/flux/name_table.h"

#include <cctype>
#include <sstream>

namespace titan::models {
namespace {

enum class Place { kOnce, kGuidance, kDouble, kSingle };
enum class Kind {
  kLinear,
  kProjection,  ///< Linear whose bias is a setting (qkv_bias)
  kScale,       ///< of an RMS norm
  kSwapped,     ///< Linear whose two halves of rows change places
};

/// A module; '#' stands for the number of its block. `diffusers` names its parts, `parts` says how
/// many rows each has (empty: one part, all rows).
struct Module {
  Place place;
  Kind kind;
  const char* name;
  const char* rows;
  const char* columns;
  const char* diffusers;
  const char* parts = "";
};

constexpr Module kModules[] = {
    {Place::kOnce, Kind::kLinear, "img_in", "h", "i", "x_embedder"},
    {Place::kOnce, Kind::kLinear, "txt_in", "h", "c", "context_embedder"},
    {Place::kOnce, Kind::kLinear, "time_in.in_layer", "h", "256",
     "time_text_embed.timestep_embedder.linear_1"},
    {Place::kOnce, Kind::kLinear, "time_in.out_layer", "h", "h",
     "time_text_embed.timestep_embedder.linear_2"},
    {Place::kOnce, Kind::kLinear, "vector_in.in_layer", "h", "v",
     "time_text_embed.text_embedder.linear_1"},
    {Place::kOnce, Kind::kLinear, "vector_in.out_layer", "h", "h",
     "time_text_embed.text_embedder.linear_2"},
    {Place::kGuidance, Kind::kLinear, "guidance_in.in_layer", "h", "256",
     "time_text_embed.guidance_embedder.linear_1"},
    {Place::kGuidance, Kind::kLinear, "guidance_in.out_layer", "h", "h",
     "time_text_embed.guidance_embedder.linear_2"},

    {Place::kDouble, Kind::kLinear, "double_blocks.#.img_mod.lin", "6h", "h",
     "transformer_blocks.#.norm1.linear"},
    {Place::kDouble, Kind::kProjection, "double_blocks.#.img_attn.qkv", "3h", "h",
     "transformer_blocks.#.attn.to_q|transformer_blocks.#.attn.to_k|transformer_blocks.#.attn.to_v",
     "h|h|h"},
    {Place::kDouble, Kind::kScale, "double_blocks.#.img_attn.norm.query_norm", "d", "",
     "transformer_blocks.#.attn.norm_q"},
    {Place::kDouble, Kind::kScale, "double_blocks.#.img_attn.norm.key_norm", "d", "",
     "transformer_blocks.#.attn.norm_k"},
    {Place::kDouble, Kind::kLinear, "double_blocks.#.img_attn.proj", "h", "h",
     "transformer_blocks.#.attn.to_out.0"},
    {Place::kDouble, Kind::kLinear, "double_blocks.#.img_mlp.0", "m", "h",
     "transformer_blocks.#.ff.net.0.proj"},
    {Place::kDouble, Kind::kLinear, "double_blocks.#.img_mlp.2", "h", "m",
     "transformer_blocks.#.ff.net.2"},
    {Place::kDouble, Kind::kLinear, "double_blocks.#.txt_mod.lin", "6h", "h",
     "transformer_blocks.#.norm1_context.linear"},
    {Place::kDouble, Kind::kProjection, "double_blocks.#.txt_attn.qkv", "3h", "h",
     "transformer_blocks.#.attn.add_q_proj|transformer_blocks.#.attn.add_k_proj|"
     "transformer_blocks.#.attn.add_v_proj",
     "h|h|h"},
    {Place::kDouble, Kind::kScale, "double_blocks.#.txt_attn.norm.query_norm", "d", "",
     "transformer_blocks.#.attn.norm_added_q"},
    {Place::kDouble, Kind::kScale, "double_blocks.#.txt_attn.norm.key_norm", "d", "",
     "transformer_blocks.#.attn.norm_added_k"},
    {Place::kDouble, Kind::kLinear, "double_blocks.#.txt_attn.proj", "h", "h",
     "transformer_blocks.#.attn.to_add_out"},
    {Place::kDouble, Kind::kLinear, "double_blocks.#.txt_mlp.0", "m", "h",
     "transformer_blocks.#.ff_context.net.0.proj"},
    {Place::kDouble, Kind::kLinear, "double_blocks.#.txt_mlp.2", "h", "m",
     "transformer_blocks.#.ff_context.net.2"},

    {Place::kSingle, Kind::kLinear, "single_blocks.#.linear1", "3h+m", "h",
     "single_transformer_blocks.#.attn.to_q|single_transformer_blocks.#.attn.to_k|"
     "single_transformer_blocks.#.attn.to_v|single_transformer_blocks.#.proj_mlp",
     "h|h|h|m"},
    {Place::kSingle, Kind::kLinear, "single_blocks.#.linear2", "h", "h+m",
     "single_transformer_blocks.#.proj_out"},
    {Place::kSingle, Kind::kScale, "single_blocks.#.norm.query_norm", "d", "",
     "single_transformer_blocks.#.attn.norm_q"},
    {Place::kSingle, Kind::kScale, "single_blocks.#.norm.key_norm", "d", "",
     "single_transformer_blocks.#.attn.norm_k"},
    {Place::kSingle, Kind::kLinear, "single_blocks.#.modulation.lin", "3h", "h",
     "single_transformer_blocks.#.norm.linear"},

    {Place::kOnce, Kind::kLinear, "final_layer.linear", "o", "h", "proj_out"},
    {Place::kOnce, Kind::kSwapped, "final_layer.adaLN_modulation.1", "2h", "h", "norm_out.linear"},
};

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> items;
  std::istringstream stream(text);
  std::string item;
  while (std::getline(stream, item, '|')) items.push_back(item);
  return items;
}

std::string numbered(std::string name, int64_t block) {
  const std::size_t at = name.find('#');
  return at == std::string::npos ? name : name.replace(at, 1, std::to_string(block));
}

/// The parts of a module's tensor `suffix` in diffusers' checkpoints.
std::vector<FluxPart> diffusers_parts(const Module& module, int64_t block,
                                      const std::string& suffix) {
  std::vector<FluxPart> parts;
  const std::vector<std::string> counts = split(module.parts);
  std::string first = "0";
  for (const std::string& name : split(module.diffusers)) {
    FluxPart part{numbered(name, block) + suffix, {}};
    if (module.kind == Kind::kSwapped) {
      part.rows = {{"h", "h"}, {"0", "h"}};
    } else if (counts.empty()) {
      part.rows = {{"0", module.rows}};
    } else {
      const std::string& count = counts[parts.size()];
      part.rows = {{first, count}};
      first += "+" + count;
    }
    parts.push_back(std::move(part));
  }
  return parts;
}

void add_tensors(const Module& module, int64_t block, const FluxLayout& layout,
                 std::vector<FluxTensor>& tensors) {
  const std::string name = numbered(module.name, block);
  if (module.kind == Kind::kScale) {
    tensors.push_back({name + ".scale", module.rows, "", diffusers_parts(module, block, ".weight"),
                       name + ".weight"});
    return;
  }
  tensors.push_back({name + ".weight", module.rows, module.columns,
                     diffusers_parts(module, block, ".weight"), name + ".weight"});
  if (module.kind == Kind::kProjection && !layout.qkv_bias) return;
  tensors.push_back(
      {name + ".bias", module.rows, "", diffusers_parts(module, block, ".bias"), name + ".bias"});
}

}  // namespace

int64_t evaluate_size(const std::string& expression, const FluxSizes& sizes) {
  int64_t sum = 0;
  std::istringstream terms(expression);
  std::string term;
  while (std::getline(terms, term, '+')) {
    const bool has_symbol = std::isalpha(static_cast<unsigned char>(term.back())) != 0;
    const std::string number = has_symbol ? term.substr(0, term.size() - 1) : term;
    int64_t value = number.empty() ? 1 : std::stoll(number);
    if (has_symbol) {
      const auto found = sizes.find(term.back());
      if (found == sizes.end() || found->second < 0) return -1;
      if (__builtin_mul_overflow(value, found->second, &value)) return -1;
    }
    if (__builtin_add_overflow(sum, value, &sum)) return -1;
  }
  return sum;
}

std::vector<FluxPart> FluxTensor::parts(const std::string& format) const {
  if (format == "diffusers") return diffusers;
  return {{format == "torchtitan" ? torchtitan : name, {{"0", rows}}}};
}

std::string FluxTensor::rows_of(const FluxPart& part) {
  std::string size;
  for (const FluxPart::Range& range : part.rows) size += (size.empty() ? "" : "+") + range.count;
  return size;
}

std::vector<FluxTensor> flux_tensors(const FluxLayout& layout) {
  std::vector<FluxTensor> tensors;
  const auto add = [&](Place place, int64_t block) {
    for (const Module& module : kModules)
      if (module.place == place) add_tensors(module, block, layout, tensors);
  };
  add(Place::kOnce, 0);
  if (layout.guidance) add(Place::kGuidance, 0);
  for (int64_t i = 0; i < layout.depth; ++i) add(Place::kDouble, i);
  for (int64_t i = 0; i < layout.depth_single; ++i) add(Place::kSingle, i);
  return tensors;
}

std::vector<int64_t> shape_of(const FluxTensor& tensor, const FluxPart& part,
                              const FluxSizes& sizes) {
  std::vector<int64_t> shape = {evaluate_size(FluxTensor::rows_of(part), sizes)};
  if (!tensor.columns.empty()) shape.push_back(evaluate_size(tensor.columns, sizes));
  return shape;
}

std::vector<TensorSpec> flux_specs(const std::vector<FluxTensor>& tensors, const FluxSizes& sizes,
                                   const std::string& format, TensorType type) {
  std::vector<TensorSpec> specs;
  for (const FluxTensor& tensor : tensors)
    for (const FluxPart& part : tensor.parts(format))
      specs.push_back({part.name, type, shape_of(tensor, part, sizes)});
  return specs;
}

}  // namespace titan::models
