#include "tests/support/catch.h"

#include "tests/encoders/encoder_testing.h"
#include "titan/models/encoders/t5.h"

namespace titan {
namespace {

using namespace titan::testing;
using models::T5Config;
using models::T5Encoder;

T5Encoder load_t5(const EncoderCase& encoder, at::ScalarType dtype) {
  const StatusOr<T5Config> config = models::read_t5_config(encoder.model_folder() + "/config.json");
  TITAN_CHECK(config.ok(), message_of(config.status()));
  T5Encoder network(*config, at::TensorOptions().dtype(dtype));
  const Status loaded = load_network(network, encoder.model_folder());
  TITAN_CHECK(loaded.ok(), message_of(loaded));
  return network;
}

at::Tensor t5_ids_of(const EncoderCase& encoder, const std::string& run) {
  return encoder.golden.at(run + ".ids").to(at::kLong);
}

/// The recorded residual streams of a run against ours.
void compare_hidden(const EncoderCase& encoder, const std::string& run, const T5Encoder& network,
                    ErrorReport& report) {
  const std::string prefix = run + ".hidden_fp32.";
  std::size_t compared = 0;
  network.forward(t5_ids_of(encoder, run), [&](int64_t block, const at::Tensor& x) {
    const std::string name = prefix + std::to_string(block);
    if (!encoder.golden.contains(name)) return;
    report.add("residual stream", name, x, encoder.golden.at(name));
    ++compared;
  });
  REQUIRE(compared == encoder.golden.with_prefix(prefix).size());
}

TEST_CASE("T5 agrees with the reference in float32", "[golden]") {
  const std::vector<std::filesystem::path> cases = encoder_cases("t5");
  if (cases.empty()) TITAN_SKIP(kNoGolden);
  for (const std::filesystem::path& path : cases) {
    const EncoderCase encoder = load_encoder_case(path);
    INFO(path);
    ErrorReport report("T5 " + encoder.stem);
    const T5Encoder network = load_t5(encoder, at::kFloat);
    for (const std::string& run : encoder.runs_with("ids")) {
      report.add("output", run, network.forward(t5_ids_of(encoder, run)),
                 encoder.golden.at(run + ".out_fp32"));
      compare_hidden(encoder, run, network, report);
    }
    // Rows of much padding amplify rounding: two correct implementations are 5e-6 apart.
    CHECK(report.largest("output") < 1e-4);
    CHECK(report.largest("residual stream") < 1e-4);
  }
}

TEST_CASE("T5 in bfloat16 is as near to float32 as the reference", "[golden]") {
  const std::vector<std::filesystem::path> cases = encoder_cases("t5");
  if (cases.empty()) TITAN_SKIP(kNoGolden);
  for (const std::filesystem::path& path : cases) {
    const EncoderCase encoder = load_encoder_case(path);
    ErrorReport report("T5 " + encoder.stem);
    const T5Encoder network = load_t5(encoder, at::kBFloat16);
    for (const std::string& run : encoder.runs_with("ids")) {
      const at::Tensor out = network.forward(t5_ids_of(encoder, run));
      REQUIRE(out.scalar_type() == at::kBFloat16);
      const double theirs = encoder.golden.json.at("bf16_vs_fp32").at(run).at("rms");
      report.add("bf16 rms / reference's rms", run,
                 rms_difference(out, encoder.golden.at(run + ".out_fp32")) / theirs);
    }
    INFO(path);
    CHECK(report.largest("bf16 rms / reference's rms") < 1.5);
  }
}

}  // namespace
}  // namespace titan
