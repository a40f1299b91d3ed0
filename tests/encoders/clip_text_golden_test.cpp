#include "tests/support/catch.h"

#include "tests/encoders/encoder_testing.h"
#include "titan/models/encoders/clip_text.h"

namespace titan {
namespace {

using namespace titan::testing;
using models::ClipTextConfig;
using models::ClipTextEncoder;

std::unique_ptr<ClipTextEncoder> load_clip(const EncoderCase& encoder, at::ScalarType dtype) {
  const StatusOr<ClipTextConfig> config =
      models::read_clip_text_config(encoder.model_folder() + "/config.json");
  TITAN_CHECK(config.ok(), message_of(config.status()));
  auto network = std::make_unique<ClipTextEncoder>(*config, at::TensorOptions().dtype(dtype));
  const Status loaded = load_network(*network, encoder.model_folder());
  TITAN_CHECK(loaded.ok(), message_of(loaded));
  return network;
}

at::Tensor ids_of(const EncoderCase& encoder, const std::string& run) {
  return encoder.golden.at(run + ".ids").to(at::kLong);
}

TEST_CASE("CLIP's text encoder agrees with the reference in float32", "[golden]") {
  const std::vector<std::filesystem::path> cases = encoder_cases("clip");
  if (cases.empty()) TITAN_SKIP(kNoGolden);
  for (const std::filesystem::path& path : cases) {
    const EncoderCase encoder = load_encoder_case(path);
    INFO(path);
    ErrorReport report("CLIP " + encoder.stem);
    const auto network = load_clip(encoder, at::kFloat);
    for (const std::string& run : encoder.runs_with("ids")) {
      const at::Tensor ids = ids_of(encoder, run);
      report.add("pooled", run, network->forward(ids), encoder.golden.at(run + ".pooled_fp32"));
      const std::string prefix = run + ".hidden_fp32.";
      std::size_t compared = 0;
      const at::Tensor last = network->last_hidden(ids, [&](int64_t block, const at::Tensor& x) {
        const std::string name = prefix + std::to_string(block);
        if (!encoder.golden.contains(name)) return;
        report.add("residual stream", name, x, encoder.golden.at(name));
        ++compared;
      });
      REQUIRE(compared == encoder.golden.with_prefix(prefix).size());
      report.add("last hidden state", run, last, encoder.golden.at(run + ".last_fp32"));
    }
    for (const char* group : {"pooled", "residual stream", "last hidden state"})
      CHECK(report.largest(group) < 1e-5);
  }
}

TEST_CASE("CLIP's text encoder in bfloat16 is as near to float32 as the reference", "[golden]") {
  const std::vector<std::filesystem::path> cases = encoder_cases("clip");
  if (cases.empty()) TITAN_SKIP(kNoGolden);
  for (const std::filesystem::path& path : cases) {
    const EncoderCase encoder = load_encoder_case(path);
    INFO(path);
    ErrorReport report("CLIP " + encoder.stem);
    const auto network = load_clip(encoder, at::kBFloat16);
    for (const std::string& run : encoder.runs_with("ids")) {
      const at::Tensor pooled = network->forward(ids_of(encoder, run));
      REQUIRE(pooled.scalar_type() == at::kBFloat16);
      const double theirs = encoder.golden.json.at("bf16_vs_fp32_pooled").at(run).at("rms");
      report.add("bf16 rms / reference's rms", run,
                 rms_difference(pooled, encoder.golden.at(run + ".pooled_fp32")) / theirs);
    }
    CHECK(report.largest("bf16 rms / reference's rms") < 1.5);
  }
}

}  // namespace
}  // namespace titan
