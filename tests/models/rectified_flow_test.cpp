#include "tests/support/catch.h"

#include "titan/models/objectives/rectified_flow.h"

#include "titan/base/check.h"

#include "tests/models/example_batch.h"

using titan::TrainingExample;
using titan::objectives::FlowDirection;
using titan::objectives::LossWeight;
using titan::objectives::RectifiedFlow;
using titan::objectives::RectifiedFlowOptions;
using titan::testing::example_batch;

TEST_CASE("rectified flow runs from noise to data, in both directions of time", "[models]") {
  const at::Tensor data = torch::randn({3, 2, 4, 4}), noise = torch::randn({3, 2, 4, 4});
  const at::Tensor sigma = torch::tensor({0.0F, 0.25F, 1.0F});
  const TrainingExample forward = RectifiedFlow({}, 1).mix(data, noise, sigma);
  const TrainingExample backward =
      RectifiedFlow({.direction = FlowDirection::kNoiseAtOne}, 1).mix(data, noise, sigma);
  REQUIRE(torch::allclose(forward.t, 1 - sigma));
  REQUIRE(torch::equal(backward.t, sigma));
  for (const TrainingExample* example : {&forward, &backward}) {
    REQUIRE(torch::allclose(example->x_t[0], data[0], 0, 1e-6));
    REQUIRE(torch::allclose(example->x_t[1], 0.75 * data[1] + 0.25 * noise[1], 0, 1e-6));
    REQUIRE(torch::allclose(example->x_t[2], noise[2], 0, 1e-6));
    REQUIRE_FALSE(example->weight.defined());
  }
  REQUIRE(torch::equal(forward.target, data - noise));
  REQUIRE(torch::equal(backward.target, -forward.target));
}

TEST_CASE(
    "a sample gets the same draws in any batch, and others in another epoch or under another seed",
    "[models]") {
  const RectifiedFlow objective({}, 7);
  const TrainingExample whole = objective.prepare(example_batch(6));
  const TrainingExample part = objective.prepare(example_batch(2, 3));
  REQUIRE(torch::equal(part.x_t, whole.x_t.slice(0, 3, 5)));
  REQUIRE(torch::equal(part.t, whole.t.slice(0, 3, 5)));
  REQUIRE(torch::equal(part.target, whole.target.slice(0, 3, 5)));
  REQUIRE(torch::equal(part.condition.get("label"), whole.condition.get("label").slice(0, 3, 5)));
  titan::Batch later = example_batch(6);
  later.epoch.fill_(1);
  for (const TrainingExample& other :
       {objective.prepare(later), RectifiedFlow({}, 8).prepare(example_batch(6))}) {
    REQUIRE_FALSE(whole.t.eq(other.t).any().item<bool>());
    REQUIRE_FALSE(whole.target.eq(other.target).any().item<bool>());
  }
}

TEST_CASE("class dropout turns the asked share of labels into the null class", "[models]") {
  titan::Batch batch = example_batch(1);
  batch.sample = torch::arange(20000);
  batch.epoch = torch::zeros({20000}, torch::kLong);
  batch.fields.set("image", torch::zeros({20000, 1, 1, 1}));
  batch.fields.set("label", torch::full({20000}, 4));
  const auto labels = [&](double probability) {
    return RectifiedFlow({.dropout = {.probability = probability, .null_class = 10}}, 1)
        .prepare(batch)
        .condition.get("label");
  };
  const at::Tensor dropped = labels(0.2).eq(10);
  REQUIRE(dropped.to(torch::kDouble).mean().item<double>() ==
          Approx(0.2).margin(4 * std::sqrt(0.2 * 0.8 / 20000)));
  REQUIRE(labels(0.2).eq(4).logical_or(dropped).all().item<bool>());
  REQUIRE(labels(0.0).eq(4).all().item<bool>());
  REQUIRE(labels(1.0).eq(10).all().item<bool>());
  REQUIRE(batch.fields.get("label").eq(4).all().item<bool>());  // the batch itself is left alone
}

TEST_CASE("the loss is a float32 mean per sample, whatever the prediction's dtype", "[models]") {
  const RectifiedFlow objective({}, 1);
  const TrainingExample example = objective.prepare(example_batch(4));
  const at::Tensor prediction =
      torch::randn(example.target.sizes()).to(torch::kBFloat16).requires_grad_();
  const at::Tensor loss = objective.loss(prediction, example);
  REQUIRE(loss.scalar_type() == torch::kFloat);
  REQUIRE(loss.sizes() == at::IntArrayRef({4}));
  const at::Tensor expected =
      (prediction.to(torch::kFloat) - example.target).square().mean(at::IntArrayRef{1, 2, 3});
  REQUIRE(torch::allclose(loss, expected, 1e-6));
  loss.sum().backward();
  REQUIRE(prediction.grad().abs().sum().item<double>() > 0);
  REQUIRE_THROWS_AS(objective.loss(prediction[0], example), titan::Error);
}

TEST_CASE("loss weights follow the noise level", "[models]") {
  const RectifiedFlow plain({}, 1), weighted({.weight = LossWeight::kCosMap}, 1);
  const TrainingExample example = weighted.prepare(example_batch(5));
  const at::Tensor sigma = 1 - example.t;
  const at::Tensor prediction = torch::zeros_like(example.target);
  const at::Tensor ratio =
      weighted.loss(prediction, example) / plain.loss(prediction, plain.prepare(example_batch(5)));
  REQUIRE(torch::allclose(ratio, 2 / (M_PI * (1 - 2 * sigma + 2 * sigma * sigma)), 1e-5));
}

TEST_CASE(
    "other fields reach the model; latents of half precision are widened; a batch without images "
    "is refused",
    "[models]") {
  titan::Batch batch = example_batch(2);
  batch.fields.set("image", batch.fields.get("image").to(torch::kBFloat16));
  batch.fields.set("text", torch::ones({2, 3}));
  const TrainingExample example = RectifiedFlow({}, 1).prepare(batch);
  REQUIRE(example.x_t.scalar_type() == torch::kFloat);
  REQUIRE(example.condition.contains("text"));
  REQUIRE_FALSE(example.condition.contains("image"));
  batch.fields.erase("image");
  REQUIRE_THROWS_AS(RectifiedFlow({}, 1).prepare(batch), titan::Error);
}
