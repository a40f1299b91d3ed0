#include "titan/protocols/model_spec.h"

#include <map>
#include <mutex>
#include <utility>

namespace titan {
namespace {

struct ModelTable {
  std::mutex mutex;
  std::map<std::string, std::unique_ptr<ModelSpec>> specs;
};

ModelTable& table() {
  static ModelTable table;
  return table;
}

std::string join(const std::vector<std::string>& items) {
  std::string out;
  for (const std::string& item : items) out += (out.empty() ? "" : ", ") + item;
  return out;
}

}  // namespace

Status register_model(ModelSpec spec) {
  if (spec.name.empty()) return invalid_argument("[model] a model needs a name");
  if (!spec.build)
    return invalid_argument("[model] model \"", spec.name, "\" has no build function");
  ModelTable& models = table();
  const std::lock_guard<std::mutex> lock(models.mutex);
  const std::string name = spec.name;
  if (!models.specs.emplace(name, std::make_unique<ModelSpec>(std::move(spec))).second) {
    return invalid_argument("[model] model \"", name, "\" is registered already");
  }
  return ok_status();
}

StatusOr<const ModelSpec*> find_model(const std::string& name) {
  {
    ModelTable& models = table();
    const std::lock_guard<std::mutex> lock(models.mutex);
    const auto found = models.specs.find(name);
    if (found != models.specs.end()) return found->second.get();
  }
  return not_found("[model] model.name=\"", name,
                   "\" is not registered; known models: ", join(model_names()));
}

std::vector<std::string> model_names() {
  ModelTable& models = table();
  const std::lock_guard<std::mutex> lock(models.mutex);
  std::vector<std::string> names;
  for (const auto& [name, spec] : models.specs) names.push_back(name);
  return names;
}

void clear_models() {
  ModelTable& models = table();
  const std::lock_guard<std::mutex> lock(models.mutex);
  models.specs.clear();
}

}  // namespace titan
