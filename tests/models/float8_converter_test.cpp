// What the converter chooses, and that a converted model trains as the seam promises: recompute,
// kept weights, averages and sharded layouts change no bit that they did not change before.
#include "tests/support/catch.h"

#include <algorithm>
#include <map>
#include <set>

#include <ATen/record_function.h>

#include "titan/models/converters/float8.h"
#include "titan/models/layers/feed_forward.h"
#include "titan/models/layers/float8_layer.h"
#include "titan/models/layers/layer_inputs.h"
#include "titan/models/layers/linear.h"
#include "titan/optim/adamw.h"
#include "titan/optim/ema.h"
#include "titan/parallel/engine.h"

#include "tests/models/small_models.h"

namespace titan {
namespace {

using models::Float8Conversion;
using testing::TrainingInputs;

Float8Section emulated(const std::string& recipe = "tensorwise",
                       std::vector<std::string> filters = {}) {
  Float8Section settings;
  settings.recipe_name = recipe;
  settings.filter_fqns = std::move(filters);
  settings.emulate = true;
  return settings;
}

std::set<std::string> names(const std::vector<std::string>& list) {
  return {list.begin(), list.end()};
}

bool says(const std::vector<std::string>& list, const std::string& text) {
  return std::any_of(list.begin(), list.end(),
                     [&](const std::string& line) { return line.find(text) != std::string::npos; });
}

TEST_CASE("Flux: the blocks' projections are converted, embedders, modulations and head are not",
          "[models]") {
  models::Flux model(testing::small_flux(1, 1));
  std::set<std::string> parameters;
  for (const auto& entry : model.named_parameters()) parameters.insert(entry.key());
  const Float8Conversion done = models::convert_to_float8(model, emulated());
  REQUIRE(names(done.converted) ==
          std::set<std::string>{"double_blocks.0.img_attn.qkv", "double_blocks.0.img_attn.proj",
                                "double_blocks.0.txt_attn.qkv", "double_blocks.0.txt_attn.proj",
                                "double_blocks.0.img_mlp.0", "double_blocks.0.img_mlp.2",
                                "double_blocks.0.txt_mlp.0", "double_blocks.0.txt_mlp.2",
                                "single_blocks.0.linear1", "single_blocks.0.linear2"});
  REQUIRE(done.num_linear == static_cast<int64_t>(done.converted.size() + done.kept.size()));
  for (const char* kept :
       {"img_in: embedding or head", "time_in.in_layer: embedding or head",
        "double_blocks.0.img_mod.lin: modulation", "single_blocks.0.modulation.lin: modulation",
        "final_layer.linear: embedding or head"})
    REQUIRE(names(done.kept).count(kept) == 1);
  // Checkpoints do not know of it.
  for (const auto& entry : model.named_parameters()) {
    REQUIRE(parameters.count(entry.key()) == 1);
    REQUIRE(entry.value().scalar_type() == at::kFloat);
  }
}

TEST_CASE("DiT: attention and feed-forward are converted where 16 divides their sizes",
          "[models]") {
  models::Dit model(testing::small_dit(1));
  const Float8Conversion done = models::convert_to_float8(model, emulated());
  REQUIRE(names(done.converted) ==
          std::set<std::string>{"layers.0.attention.wq", "layers.0.attention.wk",
                                "layers.0.attention.wv", "layers.0.attention.wo",
                                "layers.0.feed_forward.w1", "layers.0.feed_forward.w2",
                                "layers.0.feed_forward.w3"});
  REQUIRE(names(done.kept).count("layers.0.adaLN_modulation.1: modulation") == 1);
  REQUIRE(names(done.kept).count("output: embedding or head") == 1);

  models::DitConfig odd = testing::small_dit(1);
  odd.dim = 24;
  models::Dit narrow(odd);
  const Float8Conversion less = models::convert_to_float8(narrow, emulated());
  REQUIRE(less.converted.empty());
  REQUIRE(says(less.kept, "layers.0.attention.wq: 16 does not divide 24 x 24"));
}

TEST_CASE("filters keep layers by a part of their name, and unused filters are told", "[models]") {
  models::Flux model(testing::small_flux(1, 1));
  const Float8Conversion done =
      models::convert_to_float8(model, emulated("rowwise", {"txt_", "linear2", "nowhere"}));
  REQUIRE(names(done.converted) ==
          std::set<std::string>{"double_blocks.0.img_attn.qkv", "double_blocks.0.img_attn.proj",
                                "double_blocks.0.img_mlp.0", "double_blocks.0.img_mlp.2",
                                "single_blocks.0.linear1"});
  REQUIRE(done.unused_filters == std::vector<std::string>{"nowhere"});
  REQUIRE(says(done.kept, "single_blocks.0.linear2: filter linear2"));

  JobConfig config;
  config.model.converters = {"float7"};
  const Status status = models::apply_converters(model, config, /*say=*/false);
  REQUIRE_FALSE(status.ok());
  REQUIRE(message_of(status).find("unknown converter (model.converters=float7)") !=
          std::string::npos);
}

TEST_CASE("recompute and kept weights change no bit of a converted model's gradients", "[models]") {
  at::manual_seed(31);
  for (const std::string recipe : {"tensorwise", "rowwise"}) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      const models::FluxConfig config = testing::small_flux(1, 2);
      const auto model = std::make_shared<models::Flux>(config);
      testing::randomize_parameters(*model, 0.1);
      model->to(dtype);
      const TrainingInputs inputs = testing::flux_inputs(config, 2);
      const auto plain = testing::training_pass(model, inputs, {});
      models::convert_to_float8(*model, emulated(recipe));
      const auto none = testing::training_pass(model, inputs, {});
      INFO(recipe << " " << c10::toString(dtype));
      // Not the loss: rounded to bfloat16 it can be the same.
      REQUIRE_FALSE(at::equal(none.at("img_in.weight"), plain.at("img_in.weight")));
      for (const bool keep : {false, true}) {
        models::keep_float8_weights(*model, keep);
        for (const auto& [name, plan] : testing::recompute_modes(model->blocks().size())) {
          INFO(recipe << " " << c10::toString(dtype) << " " << keep << " " << name);
          const auto found = testing::training_pass(model, inputs, plan);
          REQUIRE(found.size() == none.size());
          for (const auto& [parameter, gradient] : none)
            REQUIRE(at::equal(found.at(parameter), gradient));
        }
      }
    }
  }
}

/// A model in 8 bits and what it trains on.
struct Converted {
  std::shared_ptr<Model> model;
  TrainingInputs inputs;
};
std::vector<std::pair<std::string, Converted>> converted_models(const Float8Section& settings,
                                                                at::ScalarType dtype) {
  const models::FluxConfig flux = testing::small_flux(1, 2);
  std::vector<std::pair<std::string, Converted>> all;
  all.emplace_back("flux",
                   Converted{std::make_shared<models::Flux>(flux), testing::flux_inputs(flux, 2)});
  for (const std::string norm : {"layernorm", "np_layernorm", "np_layernorm_bias", "rmsnorm"}) {
    models::DitConfig dit = testing::small_dit(2);
    dit.norm_type = norm;
    all.emplace_back("dit, " + norm,
                     Converted{std::make_shared<models::Dit>(dit), testing::dit_inputs(2)});
  }
  for (auto& [name, one] : all) {
    testing::randomize_parameters(*one.model, 0.15);
    one.model->to(dtype);
    models::convert_to_float8(*one.model, settings);
  }
  return all;
}

TEST_CASE("inputs rounded where they are made change no bit of losses and gradients", "[models]") {
  at::manual_seed(33);
  for (const Float8Section& settings :
       {emulated("tensorwise"), emulated("rowwise"), emulated("rowwise", {"w3", "wk", "mlp.0"})}) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      for (auto& [which, one] : converted_models(settings, dtype)) {
        models::fuse_float8_inputs(*one.model, false);
        const auto apart = testing::training_pass(one.model, one.inputs, {});
        REQUIRE(apart.at("loss").isfinite().item<bool>());
        models::fuse_float8_inputs(*one.model, true);
        const auto predict = [&] {
          const at::NoGradGuard no_grad;
          return make_runner(one.model, nullptr)
              ->forward(one.inputs.x, one.inputs.t, one.inputs.condition);
        };
        const at::Tensor prediction = predict();
        const bool every_mode = which == "flux" || which == "dit, layernorm";
        auto modes = testing::recompute_modes(one.model->blocks().size());
        if (!every_mode) modes.resize(1);  // norms differ without recompute as well
        for (const auto& [name, plan] : modes) {
          INFO(which << " " << settings.recipe_name << " " << c10::toString(dtype) << " " << name);
          const auto fused = testing::training_pass(one.model, one.inputs, plan);
          REQUIRE(fused.size() == apart.size());
          for (const auto& [parameter, gradient] : apart) {
            CAPTURE(parameter);
            REQUIRE(at::equal(fused.at(parameter), gradient));
          }
        }
        models::fuse_float8_inputs(*one.model, false);
        REQUIRE(at::equal(predict(), prediction));
      }
    }
  }
}

/// How often each operation of titan's ran in a pass, without weights (which are matrices already
/// and kept).
std::map<std::string, int64_t> calls_of(const Converted& one) {
  thread_local std::map<std::string, int64_t> calls;
  calls.clear();
  const auto handle =
      at::addThreadLocalCallback(at::RecordFunctionCallback([](const at::RecordFunction& fn) {
                                   ++calls[fn.name()];
                                   return std::unique_ptr<at::ObserverContext>();
                                 }).scopes({at::RecordScope::FUNCTION}));
  const at::NoGradGuard no_grad;
  make_runner(one.model, nullptr)->forward(one.inputs.x, one.inputs.t, one.inputs.condition);
  at::removeCallback(handle);
  return calls;
}

TEST_CASE("what several layers read is rounded once, by the operation that makes it", "[models]") {
  for (auto& [which, one] : converted_models(emulated(), at::kFloat)) {
    CAPTURE(which);
    models::keep_float8_weights(*one.model, true);
    calls_of(one);  // rounds the weights
    const auto fused = calls_of(one);
    models::fuse_float8_inputs(*one.model, false);
    const auto apart = calls_of(one);
    const auto count = [](const std::map<std::string, int64_t>& calls, const char* name) {
      const auto found = calls.find(name);
      return found == calls.end() ? int64_t{0} : found->second;
    };
    if (which == "flux") {
      // Two streams with two norms and one gelu in the double block; two single blocks.
      REQUIRE(count(fused, "titan::float8_normed") == 4 + 2);
      REQUIRE(count(fused, "titan::float8_gelu") == 2);
      REQUIRE(count(fused, "titan::float8_beside_gelu") == 2);
      REQUIRE(count(fused, "titan::float8_quantize") == 2);  // attention's output, for proj
      REQUIRE(count(apart, "titan::float8_quantize") == 8 + 4);
    } else {
      REQUIRE(count(fused, "titan::float8_normed") == 2 * 2);
      REQUIRE(count(fused, "titan::float8_swiglu") == 2);
      REQUIRE(count(fused, "titan::float8_quantize") == 2);  // attention's output, for wo
      REQUIRE(count(apart, "titan::float8_quantize") == 2 * 7);
    }
    REQUIRE(count(apart, "titan::float8_normed") == 0);
    REQUIRE(count(apart, "titan::float8_product") == count(fused, "titan::float8_product"));
  }
}

TEST_CASE("a tensor that several layers read is rounded once too", "[models]") {
  models::FeedForward layer(32, 64, {});
  for (const at::Tensor& parameter : layer.parameters()) parameter.detach().normal_(0, 0.1);
  const at::Tensor x = at::randn({2, 5, 32});
  for (const models::Linear* reader : layer.readers())
    const_cast<models::Linear*>(reader)->float8 =
        std::make_shared<models::Float8Layer>(models::Float8Layer{.options = {.emulate = true}});
  const at::Tensor fused = layer.forward(x);
  for (const models::Linear* reader : layer.readers()) reader->float8->fuse_input = false;
  REQUIRE(at::equal(layer.forward(x), fused));
}

TEST_CASE("layers say where their input is not what they multiply", "[models]") {
  models::Linear plain(32, 16, models::Linear::Bias::kNo, {}),
      eight(32, 16, models::Linear::Bias::kNo, {});
  eight.float8 =
      std::make_shared<models::Float8Layer>(models::Float8Layer{.options = {.emulate = true}});
  const models::LinearInput rounded = models::input_for({&eight}, at::randn({4, 32}));
  REQUIRE(rounded.is_rounded());
  REQUIRE_FALSE(models::input_for({&eight, &plain}, at::randn({4, 32})).is_rounded());
  REQUIRE_FALSE(models::input_for({}, at::randn({4, 32})).is_rounded());
  REQUIRE_THROWS_WITH(plain.forward(rounded), Catch::Contains("was rounded to 8 bits"));
  eight.float8->options.rowwise = true;
  REQUIRE_THROWS_WITH(eight.forward(rounded), Catch::Contains("one recipe"));
}

TEST_CASE("training.compile=false rounds inputs in each layer", "[models]") {
  for (const bool compile : {true, false}) {
    JobConfig config;
    config.model.converters = {"float8"};
    config.training.compile = compile;
    models::Dit model(testing::small_dit(1));
    REQUIRE(models::apply_converters(model, config, /*say=*/false).ok());
    int64_t layers = 0;
    for (const auto& module : model.modules(/*include_self=*/false)) {
      const auto* const layer = dynamic_cast<const models::Linear*>(module.get());
      if (layer == nullptr || !layer->float8) continue;
      REQUIRE(layer->float8->fuse_input == compile);
      ++layers;
    }
    REQUIRE(layers == 7);
  }
}

/// Losses of three steps of two micro-batches, each followed by an evaluation with averaged and one
/// with present weights, then the weights.
std::vector<at::Tensor> train(at::ScalarType dtype, bool resident, bool keep, bool fuse = true) {
  at::manual_seed(32);
  const models::DitConfig config = testing::small_dit(2);
  const auto model = std::make_shared<models::Dit>(config);
  testing::randomize_parameters(*model, 0.2);
  models::convert_to_float8(*model, emulated());
  models::keep_float8_weights(*model, keep);
  models::fuse_float8_inputs(*model, fuse);
  parallel::EngineOptions options;
  options.parameters.compute_dtype = dtype;
  options.parameters.resident = resident;
  parallel::ParallelEngine engine(split_into_units(*model), {}, options);
  const auto runner = make_runner(model, &engine);
  optim::AdamW optimizer(engine.parameters().units(), optim::AdamWOptions{});
  optim::Ema ema(engine.parameters(), {.decay = 0.5});
  optim::StepState state(at::kCPU);
  std::vector<at::Tensor> results;
  for (int64_t step = 1; step <= 3; ++step) {
    state.begin(step, /*lr=*/0.02);
    engine.begin_step(2);
    for (int64_t i = 0; i < 2; ++i) {
      engine.begin_micro_batch(i);
      const TrainingInputs inputs = testing::dit_inputs(2);
      results.push_back(runner->forward_backward(
          inputs.x, inputs.t, inputs.condition,
          [](const at::Tensor& prediction) { return (prediction - 1).square().mean(); }));
    }
    engine.finish();
    const at::NoGradGuard no_grad;
    optimizer.step(state, at::ones({}));
    engine.parameters().weights_changed();
    ema.update(step);
    const TrainingInputs inputs = testing::dit_inputs(2);
    const auto evaluate = [&] {
      results.push_back(runner->forward(inputs.x, inputs.t, inputs.condition));
    };
    {
      const optim::Ema::Scope averaged(&ema);
      evaluate();
    }
    evaluate();
    REQUIRE_FALSE(at::equal(results[results.size() - 1], results[results.size() - 2]));
  }
  for (const auto& unit : engine.parameters().units()) results.push_back(unit.master.clone());
  return results;
}

TEST_CASE(
    "kept weights and fused inputs follow optimizer steps, averages and gathering, to the bit",
    "[models]") {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const std::vector<at::Tensor> rounded_anew =
        train(dtype, /*resident=*/true, /*keep=*/false, /*fuse=*/false);
    for (const bool resident : {true, false}) {
      const std::vector<at::Tensor> kept = train(dtype, resident, /*keep=*/true);
      REQUIRE(kept.size() == rounded_anew.size());
      for (std::size_t i = 0; i < kept.size(); ++i) {
        CAPTURE(i, resident, c10::toString(dtype));
        REQUIRE(at::equal(kept[i], rounded_anew[i]));
      }
    }
  }
}

TEST_CASE("the engine's leaves say when a step rounds weights, once for all its micro-batches",
          "[models]") {
  const auto model = std::make_shared<models::Dit>(testing::small_dit(1));
  testing::randomize_parameters(*model, 0.2);
  models::convert_to_float8(*model, emulated());
  models::keep_float8_weights(*model, true);
  parallel::ParallelEngine engine(split_into_units(*model), {},
                                  {.parameters = {.compute_dtype = at::kBFloat16}});
  const auto runner = make_runner(model, &engine);
  const models::Linear* layer = nullptr;
  for (const auto& entry : model->named_modules())
    if (entry.key() == "layers.0.attention.wq")
      layer = dynamic_cast<models::Linear*>(entry.value().get());
  REQUIRE(layer != nullptr);
  const auto copy = [&] {
    return layer->float8->weights.of(layer->weight, false, {.by_row = true})
        .by_row.const_data_ptr();
  };
  const TrainingInputs inputs = testing::dit_inputs(2);
  const auto micro_batch = [&](int64_t index) {
    engine.begin_micro_batch(index);
    runner->forward_backward(inputs.x, inputs.t, inputs.condition,
                             [](const at::Tensor& prediction) { return prediction.sum(); });
  };
  engine.begin_step(2);
  micro_batch(0);
  const void* const first = copy();
  const auto version = layer->weight._version();
  micro_batch(1);
  engine.finish();
  REQUIRE(layer->weight._version() == version);
  REQUIRE(copy() == first);
  engine.parameters().weights_changed();
  engine.begin_step(1);
  micro_batch(0);
  engine.finish();
  REQUIRE(layer->weight._version() > version);
}

}  // namespace
}  // namespace titan
