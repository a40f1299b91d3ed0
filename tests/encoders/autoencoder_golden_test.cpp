#include "tests/support/catch.h"

#include "tests/encoders/encoder_testing.h"
#include "titan/models/encoders/autoencoder.h"

namespace titan {
namespace {

namespace fs = std::filesystem;
using namespace titan::testing;
using models::Autoencoder;
using models::AutoencoderConfig;

/// The sizes as Black Forest Labs' parameters state them.
AutoencoderConfig stated_config(const nlohmann::json& params) {
  AutoencoderConfig config;
  config.in_channels = params.at("in_channels");
  config.out_channels = params.at("out_ch");
  config.ch = params.at("ch");
  config.blocks = params.at("num_res_blocks");
  config.z_channels = params.at("z_channels");
  config.widths.clear();
  for (const int64_t factor : params.at("ch_mult")) config.widths.push_back(config.ch * factor);
  return config;
}

/// A case's weights on disk: its folder of that name, or a file filled as the case says.
struct CaseWeights {
  TemporaryFolder folder;
  std::string path;
  explicit CaseWeights(const EncoderCase& encoder)
      : path((encoder.folder / encoder.stem).string()) {
    if (!encoder.golden.json.contains("fill")) return;
    const double amp = encoder.golden.json.at("fill").at("amp");
    const Autoencoder network(stated_config(encoder.golden.json.at("params")), at::kFloat);
    path = write_filled(folder, network, [&](const std::string& name) {
      return Spread{amp, name.find("norm") != name.npos && name.ends_with("weight") ? 1.0 : 0.0};
    });
  }
};

std::unique_ptr<Autoencoder> load_autoencoder(const EncoderCase& encoder, at::ScalarType dtype) {
  const CaseWeights weights(encoder);
  const StatusOr<AutoencoderConfig> config = models::read_autoencoder_config(weights.path);
  TITAN_CHECK(config.ok(), message_of(config.status()));
  const AutoencoderConfig stated = stated_config(encoder.golden.json.at("params"));
  TITAN_CHECK(config->widths == stated.widths && config->blocks == stated.blocks &&
                  config->ch == stated.ch && config->z_channels == stated.z_channels,
              "the sizes read off the tensors are those that the case states");
  auto network = std::make_unique<Autoencoder>(*config, at::TensorOptions().dtype(dtype));
  const Status loaded = load_network(*network, weights.path);
  TITAN_CHECK(loaded.ok(), message_of(loaded));
  return network;
}

/// Scale and shift of the latents that a model sees.
struct LatentScale {
  double scale, shift;
  explicit LatentScale(const EncoderCase& encoder)
      : scale(encoder.golden.json.at("params").at("scale_factor")),
        shift(encoder.golden.json.at("params").at("shift_factor")) {}
};

at::Tensor to_bytes(const at::Tensor& image) {
  return (image.clamp(-1, 1) * 127.5 + 127.5).round().to(at::kByte);
}

/// Levels by which two 8-bit images differ at most.
double byte_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kInt) - b.to(at::kInt)).abs().max().item<double>();
}

void compare_encoded(const EncoderCase& encoder, const Autoencoder& network, ErrorReport& report) {
  const LatentScale scale(encoder);
  const GoldenCase& golden = encoder.golden;
  for (const std::string& run : encoder.runs_with("image")) {
    const models::Posterior posterior = network.encode(golden.at(run + ".image"));
    report.add("mean", run, posterior.mean, golden.at(run + ".mean_fp32"));
    report.add("logvar", run, posterior.logvar, golden.at(run + ".logvar_fp32"));
    if (!golden.contains(run + ".eps")) continue;
    const at::Tensor z = posterior.mean + (posterior.logvar / 2).exp() * golden.at(run + ".eps");
    report.add("latent", run, scale.scale * (z - scale.shift), golden.at(run + ".latent_fp32"));
  }
}

void compare_decoded(const EncoderCase& encoder, const Autoencoder& network, ErrorReport& report) {
  const LatentScale scale(encoder);
  const GoldenCase& golden = encoder.golden;
  for (const std::string& run : encoder.runs_with("latent")) {
    const at::Tensor image = network.decode(golden.at(run + ".latent") / scale.scale + scale.shift);
    report.add("decoded", run, image, golden.at(run + ".decoded_fp32"));
    report.add("8-bit levels", run, byte_difference(to_bytes(image), golden.at(run + ".rgb")));
  }
}

TEST_CASE("The autoencoder agrees with the reference in float32", "[golden]") {
  const std::vector<fs::path> cases = encoder_cases("vae");
  if (cases.empty()) TITAN_SKIP(kNoGolden);
  for (const fs::path& path : cases) {
    const EncoderCase encoder = load_encoder_case(path);
    INFO(path);
    ErrorReport report("autoencoder " + encoder.stem);
    const auto network = load_autoencoder(encoder, at::kFloat);
    compare_encoded(encoder, *network, report);
    compare_decoded(encoder, *network, report);
    // Deeper networks add up more rounding.
    const double tolerance = network->config().widths.size() > 3 ? 5e-5 : 2e-5;
    for (const char* group : {"mean", "logvar", "latent", "decoded"})
      CHECK(report.largest(group) < tolerance);
    CHECK(report.largest("8-bit levels") <= 1);
  }
}

TEST_CASE("The autoencoder in bfloat16 is as near to float32 as the reference", "[golden]") {
  const std::vector<fs::path> cases = encoder_cases("vae");
  if (cases.empty()) TITAN_SKIP(kNoGolden);
  for (const fs::path& path : cases) {
    const EncoderCase encoder = load_encoder_case(path);
    INFO(path);
    const GoldenCase& golden = encoder.golden;
    const LatentScale scale(encoder);
    const nlohmann::json& recorded = golden.json.at("bf16_vs_fp32");
    constexpr const char* kGroup = "bf16 rms / reference's rms";
    ErrorReport report("autoencoder " + encoder.stem);
    const auto network = load_autoencoder(encoder, at::kBFloat16);
    const auto compare = [&](const at::Tensor& ours, const std::string& name, double theirs) {
      REQUIRE(ours.scalar_type() == at::kBFloat16);
      report.add(kGroup, name, rms_difference(ours, golden.at(name + "_fp32")) / theirs);
    };
    for (const std::string& run : encoder.runs_with("image")) {
      const models::Posterior posterior = network->encode(golden.at(run + ".image"));
      compare(posterior.mean, run + ".mean", recorded.at(run).at("mean").at("rms"));
      compare(posterior.logvar, run + ".logvar", recorded.at(run).at("logvar").at("rms"));
    }
    for (const std::string& run : encoder.runs_with("latent")) {
      const at::Tensor latent = golden.at(run + ".latent").to(at::kBFloat16);
      compare(network->decode(latent / scale.scale + scale.shift), run + ".decoded",
              recorded.at(run).at("rms"));
    }
    CHECK(report.largest(kGroup) < 1.5);
  }
}

}  // namespace
}  // namespace titan
