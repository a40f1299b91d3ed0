#include "titan/models/flux/names.h"

#include <algorithm>
#include <utility>

#include "titan/models/flux/name_layout.h"
#include "titan/models/flux/name_table.h"
#include "titan/protocols/weight_problems.h"

namespace titan::models {
namespace {

/// Rows of one of Black Forest Labs' tensors and where they are stored.
struct StoredRows {
  int64_t first, count;
  RowRange place;
};

std::vector<StoredRows> stored_rows(const FluxTensor& tensor, const std::string& format,
                                    const FluxSizes& sizes) {
  std::vector<StoredRows> all;
  for (const FluxPart& part : tensor.parts(format)) {
    int64_t at = 0;
    for (const FluxPart::Range& range : part.rows) {
      const int64_t count = evaluate_size(range.count, sizes);
      all.push_back({evaluate_size(range.first, sizes), count, {part.name, at, count}});
      at += count;
    }
  }
  std::sort(all.begin(), all.end(),
            [](const StoredRows& a, const StoredRows& b) { return a.first < b.first; });
  return all;
}

/// Appends the stored places of rows [first, first + count).
void append_rows(const std::vector<StoredRows>& stored, int64_t first, int64_t count,
                 std::vector<RowRange>& parts) {
  for (const StoredRows& rows : stored) {
    const int64_t begin = std::max(first, rows.first);
    const int64_t end = std::min(first + count, rows.first + rows.count);
    if (begin >= end) continue;
    parts.push_back({rows.place.tensor, rows.place.first + begin - rows.first, end - begin});
  }
}

class FluxFormats : public WeightFormats {
 public:
  std::vector<std::string> names() const override { return {"bfl", "diffusers", "torchtitan"}; }

  std::string detect(const std::vector<TensorSpec>& stored) const override {
    const TensorIndex index = index_of(stored);
    std::string best;
    std::size_t best_hits = 0, needed = 0;
    for (const std::string& format : names()) {
      std::size_t hits = 0, expected = 0;
      for (const FluxTensor& tensor : flux_tensors(flux_layout_of(stored, format))) {
        for (const FluxPart& part : tensor.parts(format)) {
          ++expected;
          hits += index.contains(part.name) ? 1 : 0;
        }
      }
      if (hits <= best_hits) continue;
      best = format;
      best_hits = hits;
      needed = std::min(expected, stored.size());
    }
    return best_hits * 2 >= needed ? best : "";
  }

  std::string describe(const std::vector<TensorSpec>& stored,
                       const std::string& format) const override {
    const FluxLayout layout = flux_layout_of(stored, format);
    const FluxSizes sizes = flux_sizes_of(flux_tensors(layout), index_of(stored), format);
    const auto size = [&](char symbol) {
      const auto found = sizes.find(symbol);
      return found == sizes.end() ? std::string("?") : std::to_string(found->second);
    };
    return str_cat(layout.depth, " double and ", layout.depth_single, " single blocks, width ",
                   size('h'), ", feed-forward ", size('m'), ", heads of ", size('d'),
                   ", image tokens ", size('i'), ", text ", size('c'), ", pooled text ", size('v'),
                   layout.guidance ? ", with" : ", without", " guidance embedding");
  }

  StatusOr<std::vector<TensorRecipe>> recipes(const std::vector<TensorSpec>& stored,
                                              const std::string& from,
                                              const std::string& to) const override {
    const std::vector<FluxTensor> tensors = flux_tensors(flux_layout_of(stored, from));
    const TensorIndex index = index_of(stored);
    const FluxSizes sizes = flux_sizes_of(tensors, index, from);
    WeightProblems problems = compare_weights(stored, flux_specs(tensors, sizes, from));
    std::vector<TensorRecipe> recipes;
    for (const FluxTensor& tensor : tensors) {
      const std::vector<StoredRows> rows = stored_rows(tensor, from, sizes);
      for (const FluxPart& part : tensor.parts(to)) {
        TensorRecipe recipe{{part.name, TensorType::kF32, shape_of(tensor, part, sizes)}, {}};
        for (const FluxPart::Range& range : part.rows)
          append_rows(rows, evaluate_size(range.first, sizes), evaluate_size(range.count, sizes),
                      recipe.parts);
        settle_type(recipe, index, problems);
        recipes.push_back(std::move(recipe));
      }
    }
    TITAN_RETURN_IF_ERROR(problems.status(
        str_cat("a Flux model in ", from, "'s names (", describe(stored, from), ")")));
    return recipes;
  }

  /// diffusers' config.json, where its defaults hold for what the tensors do not tell (the parts of
  /// a head that turn) and for what it cannot say (another feed-forward ratio).
  std::map<std::string, std::string> companions(const std::vector<TensorSpec>& stored,
                                                const std::string& from,
                                                const std::string& to) const override {
    if (to != "diffusers") return {};
    const FluxLayout layout = flux_layout_of(stored, from);
    FluxSizes sizes = flux_sizes_of(flux_tensors(layout), index_of(stored), from);
    if (sizes['d'] != 128 || sizes['m'] != 4 * sizes['h']) return {};
    return {{"config.json",
             str_cat("{\n  \"_class_name\": \"FluxTransformer2DModel\",\n  \"patch_size\": 1,\n",
                     "  \"in_channels\": ", sizes['i'], ",\n  \"out_channels\": ", sizes['o'],
                     ",\n  \"num_layers\": ", layout.depth, ",\n  \"num_single_layers\": ",
                     layout.depth_single, ",\n  \"attention_head_dim\": ", sizes['d'],
                     ",\n  \"num_attention_heads\": ", sizes['h'] / sizes['d'],
                     ",\n  \"joint_attention_dim\": ", sizes['c'],
                     ",\n  \"pooled_projection_dim\": ", sizes['v'],
                     ",\n  \"guidance_embeds\": ", layout.guidance ? "true" : "false",
                     ",\n  \"axes_dims_rope\": [16, 56, 56]\n}\n")}};
  }

 private:
  /// The type of the stored parts, which must be one.
  static void settle_type(TensorRecipe& recipe, const TensorIndex& index,
                          WeightProblems& problems) {
    const TensorSpec* first = nullptr;
    for (const RowRange& part : recipe.parts) {
      const auto found = index.find(part.tensor);
      if (found == index.end()) return;  // named as missing
      if (first == nullptr) first = found->second;
      if (found->second->type != first->type)
        problems.add_type(str_cat(part.tensor, " is ", name_of(found->second->type), ", but ",
                                  first->name, ", which it is joined with, ",
                                  name_of(first->type)));
    }
    if (first != nullptr) recipe.tensor.type = first->type;
  }
};

}  // namespace

std::shared_ptr<const WeightFormats> flux_weight_formats() {
  return std::make_shared<const FluxFormats>();
}

}  // namespace titan::models
