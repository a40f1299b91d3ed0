#include "titan/models/converters/float8.h"

#include <memory>
#include <sstream>

#include "titan/base/log.h"
#include "titan/models/layers/float8_layer.h"
#include "titan/models/layers/linear.h"

namespace titan::models {
namespace {

constexpr int64_t kSizeStep = 16;  // of LibTorch's 8-bit products

/// "a.b." of each block, where `name` lies in it.
bool in_a_block(const std::string& name, const std::vector<std::string>& block_prefixes) {
  for (const std::string& prefix : block_prefixes)
    if (name.rfind(prefix, 0) == 0) return true;
  return false;
}

std::vector<std::string> prefixes_of_blocks(const Model& model) {
  std::vector<std::string> prefixes;
  const auto blocks = model.blocks();
  for (const auto& entry : model.named_modules("", /*include_self=*/false)) {
    for (const auto& block : blocks)
      if (entry.value().get() == block.get()) prefixes.push_back(entry.key() + ".");
  }
  return prefixes;
}

bool is_modulation(const std::string& name) {
  std::istringstream parts(name);
  for (std::string part; std::getline(parts, part, '.');) {
    const bool ends = part.size() >= 3 && part.compare(part.size() - 3, 3, "mod") == 0;
    if (ends || part.find("modulation") != std::string::npos) return true;
  }
  return false;
}

/// Why a layer keeps the compute dtype; empty where it does not. Notes which filters were used.
std::string reason_to_keep(const std::string& name, const Linear& layer, bool inside,
                           const std::vector<std::string>& filters, std::vector<bool>& used) {
  std::string reason;
  for (std::size_t i = 0; i < filters.size(); ++i) {
    if (name.find(filters[i]) == std::string::npos) continue;
    used[i] = true;
    reason = "filter " + filters[i];
  }
  if (!inside) return "embedding or head";
  if (is_modulation(name)) return "modulation";
  if (!reason.empty()) return reason;
  const int64_t out = layer.weight.size(0), in = layer.weight.size(1);
  if (out % kSizeStep != 0 || in % kSizeStep != 0)
    return str_cat("16 does not divide ", out, " x ", in);
  return "";
}

ops::Float8Options options_of(const Float8Section& settings) {
  return {.rowwise = settings.recipe_name == "rowwise",
          .grad_dtype = settings.grad_dtype == "e4m3" ? at::kFloat8_e4m3fn : at::kFloat8_e5m2,
          .emulate = settings.emulate};
}

void log_conversion(const Float8Conversion& done, const JobConfig& config) {
  const Float8Section& settings = config.float8;
  TITAN_LOG(INFO) << "[float8] " << done.converted.size() << " of " << done.num_linear
                  << " linear layers in 8 bits (" << settings.recipe_name << ", gradients "
                  << settings.grad_dtype << (settings.emulate ? ", emulated" : "") << ")";
  if (done.converted.empty())
    TITAN_LOG(WARNING) << "[float8] no layer was converted: nothing will be in 8 bits";
  for (const std::string& filter : done.unused_filters)
    TITAN_LOG(WARNING) << "[float8] no layer's name contains \"" << filter
                       << "\" (float8.filter_fqns)";
  if (!config.model.print_after_conversion) return;
  for (const std::string& name : done.converted) TITAN_LOG(INFO) << "[float8]   8 bits: " << name;
  for (const std::string& line : done.kept) TITAN_LOG(INFO) << "[float8]   kept:   " << line;
}

template <class Change>
void for_each_converted(const Model& model, const Change& change) {
  for (const auto& module : model.modules(/*include_self=*/false)) {
    const auto* const layer = dynamic_cast<Linear*>(module.get());
    if (layer != nullptr && layer->float8) change(*layer->float8);
  }
}

}  // namespace

Float8Conversion convert_to_float8(Model& model, const Float8Section& settings) {
  Float8Conversion done;
  const std::vector<std::string> prefixes = prefixes_of_blocks(model);
  std::vector<bool> used(settings.filter_fqns.size(), false);
  for (const auto& entry : model.named_modules("", /*include_self=*/false)) {
    auto* const layer = dynamic_cast<Linear*>(entry.value().get());
    if (layer == nullptr) continue;
    ++done.num_linear;
    const std::string& name = entry.key();
    const std::string reason =
        reason_to_keep(name, *layer, in_a_block(name, prefixes), settings.filter_fqns, used);
    if (!reason.empty()) {
      done.kept.push_back(str_cat(name, ": ", reason));
      continue;
    }
    layer->float8 = std::make_shared<Float8Layer>(Float8Layer{.options = options_of(settings)});
    done.converted.push_back(name);
  }
  for (std::size_t i = 0; i < used.size(); ++i)
    if (!used[i]) done.unused_filters.push_back(settings.filter_fqns[i]);
  return done;
}

void keep_float8_weights(Model& model, bool keep) {
  for_each_converted(model, [&](Float8Layer& layer) {
    layer.keep_weights = keep;
    layer.weights.forget();
  });
}

void forget_float8_weights(Model& model) {
  for_each_converted(model, [](Float8Layer& layer) { layer.weights.forget(); });
}

void fuse_float8_inputs(Model& model, bool fuse) {
  for_each_converted(model, [&](Float8Layer& layer) { layer.fuse_input = fuse; });
}

Status apply_converters(Model& model, const JobConfig& config, bool say) {
  for (const std::string& name : config.model.converters) {
    if (name != "float8")
      return invalid_argument("[model] unknown converter (model.converters=", name,
                              "); there is float8");
    const Float8Conversion done = convert_to_float8(model, config.float8);
    fuse_float8_inputs(model, config.training.compile);
    if (say) log_conversion(done, config);
  }
  return ok_status();
}

}  // namespace titan::models
