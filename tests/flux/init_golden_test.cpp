// Initial values: kinds, bounds and spread of every parameter, and which gradients are zero in the
// first steps.
#include "tests/support/catch.h"

#include <cmath>
#include <map>
#include <set>

#include "titan/optim/adamw.h"
#include "titan/parallel/flat_parameters.h"
#include "titan/protocols/block_runner.h"

#include "tests/flux/flux_testing.h"

namespace titan {
namespace {

using testing::GoldenCase;
using Names = std::set<std::string>;

/// One tensor against the case's row for it.
void check_tensor(const nlohmann::json& row, const at::Tensor& tensor) {
  INFO(row.at("key"));
  REQUIRE(tensor.sizes().vec() == row.at("dims").get<std::vector<int64_t>>());
  const std::string kind = row.at("kind");
  if (kind == "zero" || kind == "one") {
    REQUIRE(at::equal(tensor, at::full_like(tensor, kind == "one" ? 1.0 : 0.0)));
    return;
  }
  const double expected = row.at("expected_std");
  const auto count = static_cast<double>(tensor.numel());
  // the standard error of a standard deviation is at most std / sqrt(2 n); of a mean, std / sqrt(n)
  REQUIRE(std::abs(tensor.std().item<double>() / expected - 1) < 5 / std::sqrt(count));
  REQUIRE(std::abs(tensor.mean().item<double>()) < 5 * expected / std::sqrt(count));
  const double largest = tensor.abs().max().item<double>();
  if (kind == "uniform") {
    const double bound = row.at("bound");
    REQUIRE(largest <= bound * (1 + 1e-6));
    REQUIRE(largest > bound * (1 - 20 / count));
  } else {
    REQUIRE(kind == "normal");
    // not truncated at two sigma: of 500 numbers all but surely one lies behind 2.2
    REQUIRE((count < 500 || largest > 2.2 * expected));
  }
}

TEST_CASE("Flux starts with the reference's distributions", "[golden]") {
  const auto cases = testing::golden_cases("flux", "init");
  if (cases.empty()) TITAN_SKIP(testing::kNoGolden);
  for (const auto& path : cases) {
    const GoldenCase golden = testing::load_golden(path);
    REQUIRE(!golden.json.at("models").empty());
    for (const nlohmann::json& json : golden.json.at("models")) {
      INFO(path << " " << json.at("model"));
      models::Flux model(testing::flux_config(json));
      model.initialize(/*seed=*/3);
      const auto parameters = model.named_parameters();
      REQUIRE(parameters.size() == json.at("tensors").size());
      for (const nlohmann::json& row : json.at("tensors"))
        check_tensor(row, parameters[row.at("key").get<std::string>()]);
    }
  }
}

/// Puts gradients where the optimizer takes them, and keeps copies by name.
class Gradients : public RunnerHooks {
 public:
  explicit Gradients(parallel::FlatParameters& parameters) : parameters_(parameters) {}
  void gradients_ready(std::size_t unit, const std::vector<at::Tensor>& gradients) override {
    const parallel::FlatUnit& flat = parameters_.units()[unit];
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      const at::Tensor kept = parallel::fragment_view(flat.grad, flat.fragments[i]);
      gradients[i].defined() ? kept.copy_(gradients[i].reshape({-1})) : kept.zero_();
      by_name[flat.fragments[i].name] = kept.clone().view(flat.fragments[i].shape);
    }
  }
  std::map<std::string, at::Tensor> by_name;

 private:
  parallel::FlatParameters& parameters_;
};

bool has_nonzero(const at::Tensor& tensor) { return tensor.abs().max().item<double>() > 0; }

Names nonzero(const std::map<std::string, at::Tensor>& tensors) {
  Names names;
  for (const auto& [name, tensor] : tensors)
    if (has_nonzero(tensor)) names.insert(name);
  return names;
}

/// Names of the thirds (shift, scale, gate, of each branch) of a modulation's rows that are not all
/// zero, spelled as the case spells them: "gate", or "gate2" where there are several branches.
std::vector<std::string> nonzero_row_blocks(const at::Tensor& weight) {
  const int64_t blocks = weight.size(0) / weight.size(1);
  const std::vector<at::Tensor> part = weight.chunk(blocks, 0);
  const std::vector<std::string> kinds = {"shift", "scale", "gate"};
  std::vector<std::string> found;
  for (std::size_t i = 0; i < part.size(); ++i) {
    if (has_nonzero(part[i]))
      found.push_back(kinds[i % 3] + (blocks > 3 ? std::to_string(i / 3 + 1) : std::string()));
  }
  return found;
}

/// Some steps on one random batch; after each, the gradients against the case's row.
void check_support(const nlohmann::json& json) {
  const models::FluxConfig config = testing::flux_config(json);
  const auto model = std::make_shared<models::Flux>(config);
  model->initialize(/*seed=*/5);
  parallel::FlatParameters parameters(split_into_units(*model));
  Gradients gradients(parameters);
  const auto runner = make_runner(model, &gradients);
  optim::AdamW optimizer(parameters.units(), {.weight_decay = 0.0});
  optim::StepState state(at::kCPU);
  at::manual_seed(6);
  const at::Tensor x = at::randn({2, config.latent_channels(), 8, 12});
  const at::Tensor target = at::randn({2, config.outputs() / 4, 8, 12}), t = at::rand({2});
  Conditioning condition;
  condition.set("txt", at::randn({2, 5, config.context_in_dim}));
  condition.set("y", at::randn({2, config.vec_in_dim}));
  if (config.guidance_embed) condition.set("guidance", at::rand({2}) * 4);

  Names expected;
  int64_t step = 0;
  for (const nlohmann::json& row : json.at("gradient_support")) {
    INFO("step " << step + 1);
    const at::Tensor loss = runner->forward_backward(
        x, t, condition, [&](const at::Tensor& out) { return at::mse_loss(out, target); });
    if (step == 0) REQUIRE(loss.item<float>() == at::mean(target * target).item<float>());
    for (const auto& name : row.at("newly_nonzero")) expected.insert(name.get<std::string>());
    for (const auto& name : row.at("became_zero")) expected.erase(name.get<std::string>());
    REQUIRE(nonzero(gradients.by_name) == expected);
    if (row.contains("nonzero_row_blocks")) {
      for (const auto& [name, blocks] : row.at("nonzero_row_blocks").items()) {
        INFO(name);
        REQUIRE(nonzero_row_blocks(gradients.by_name.at(name)) ==
                blocks.get<std::vector<std::string>>());
      }
    }
    state.begin(++step, /*new_lr=*/1e-3);
    optimizer.step(state);
    parameters.weights_changed();
  }
}

TEST_CASE("in Flux's first steps the same gradients are zero as in the reference", "[golden]") {
  const auto cases = testing::golden_cases("flux", "init");
  if (cases.empty()) TITAN_SKIP(testing::kNoGolden);
  for (const auto& path : cases) {
    const GoldenCase golden = testing::load_golden(path);
    for (const nlohmann::json& json : golden.json.at("models")) {
      for (const auto& [name, backend] : testing::backends()) {
        INFO(path << " " << json.at("model") << " " << name);
        ops::set_backend(backend);
        check_support(json);
      }
      ops::set_backend(ops::Backend::kFused);
    }
  }
}

}  // namespace
}  // namespace titan
