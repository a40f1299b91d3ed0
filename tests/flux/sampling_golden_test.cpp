// Timestep lists and whole denoising runs against the reference.
#include "tests/support/catch.h"

#include "titan/models/flux/sampler.h"

#include "tests/flux/flux_testing.h"

namespace titan {
namespace {

using testing::ErrorReport;
using testing::GoldenCase;

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return INFINITY;
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

at::Tensor predict(models::Flux& model, const at::Tensor& x, const at::Tensor& t,
                   const Conditioning& condition) {
  BlockState state = model.embed(x, t, condition);
  for (const std::shared_ptr<Block>& block : model.blocks()) state = block->forward(state);
  return model.head(state, x.sizes());
}

Conditioning text(const at::Tensor& t5, const at::Tensor& clip, int64_t batch) {
  Conditioning condition;
  condition.set("txt", t5.expand({batch, -1, -1}).contiguous());
  condition.set("y", clip.expand({batch, -1}).contiguous());
  return condition;
}

TEST_CASE("Flux denoises as the reference does", "[golden]") {
  const auto cases = testing::golden_cases("flux", "sampling");
  if (cases.empty()) TITAN_SKIP(testing::kNoGolden);
  for (const auto& path : cases) {
    INFO(path);
    const GoldenCase golden = testing::load_golden(path);
    ErrorReport report(golden.name);
    for (const nlohmann::json& row : golden.json.at("schedules")) {
      const std::vector<double> timesteps = models::flux_timesteps(
          row.at("num_steps"), row.at("image_seq_len"), {.shift = row.at("shift")});
      report.add("timesteps", row.dump().substr(0, 60),
                 largest_difference(timesteps, row.at("timesteps").get<std::vector<double>>()));
    }

    models::Flux model(testing::flux_config(golden.json));
    testing::load_parameters(
        model, testing::flux_weights(testing::load_golden(path.parent_path() / "tiny")));
    const at::Tensor noise = golden.at("input.noise");
    const int64_t batch = noise.size(0);
    const Conditioning prompt =
        text(golden.at("input.t5_encodings"), golden.at("input.clip_encodings"), batch);
    const Conditioning empty =
        text(golden.at("input.empty_t5"), golden.at("input.empty_clip"), batch);
    const DenoiseFunction denoise = [&](const at::Tensor& x, const at::Tensor& t,
                                        const Conditioning& condition) {
      return predict(model, x, t, condition);
    };
    for (const auto& [name, run] : golden.json.at("runs").items()) {
      double guidance = 1;
      if (run.contains("classifier_free_guidance_scale"))
        guidance = run.at("classifier_free_guidance_scale");
      const auto timesteps = run.at("timesteps").get<std::vector<double>>();
      const models::FluxSchedule schedule{.shift = run.contains("schedule_seq_len")};
      report.add(
          "timesteps", name,
          largest_difference(
              models::flux_timesteps(run.at("steps"), run.value("schedule_seq_len", 256), schedule),
              timesteps));
      const at::Tensor x = models::integrate(denoise, noise, timesteps, prompt, empty, guidance);
      report.add("latents", name, testing::relative_norm(x, golden.at(name)));
    }
    REQUIRE(report.largest("timesteps") < 1e-6);
    REQUIRE(report.largest("latents") < 3e-5);
  }
}

}  // namespace
}  // namespace titan
