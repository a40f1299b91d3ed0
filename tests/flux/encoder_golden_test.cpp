// The whole way from tars to encodings, as a job takes it, against the reference's (golden data,
// "online").
#include "tests/support/catch.h"

#include "titan/train/run_encoder.h"

#include <cmath>
#include <fstream>

#include "titan/data/one_pass_loader.h"
#include "titan/data/tensor_file.h"
#include "titan/models/builtin.h"
#include "titan/models/encoders/autoencoder.h"
#include "titan/train/model_setup.h"

#include "tests/flux/flux_testing.h"
#include "tests/support/golden.h"
#include "tests/support/sha256.h"
#include "tests/support/temporary_folder.h"

namespace fs = std::filesystem;
using titan::Batch;
using titan::JobConfig;
using titan::RunEncoder;
using titan::testing::GoldenCase;
using titan::testing::TemporaryFolder;

namespace {

constexpr const char* kTars = "../shared/data/cc12m_test";

/// The autoencoder of the case, with its deterministic weights.
std::string write_autoencoder(const nlohmann::json& sizes, const std::string& path) {
  titan::models::AutoencoderConfig config;
  config.ch = sizes.at("ch");
  config.widths.clear();
  for (const int64_t factor : sizes.at("ch_mult")) config.widths.push_back(config.ch * factor);
  config.blocks = sizes.at("num_res_blocks");
  config.z_channels = sizes.at("z_channels");
  const std::string text = sizes.at("weights");
  const double amp = std::stod(text.substr(text.find("amp ") + 4));
  const titan::models::Autoencoder network(config, at::TensorOptions());
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (const titan::ModelUnit& unit : network.units()) {
    for (std::size_t i = 0; i < unit.parameters.size(); ++i) {
      const std::string& name = unit.parameter_names[i];
      const bool is_norm = name.find("norm") != std::string::npos && name.ends_with("weight");
      tensors.emplace_back(
          name, titan::testing::fill(name, unit.parameters[i].sizes(), amp, is_norm ? 1.0 : 0.0));
    }
  }
  REQUIRE(titan::write_tensor_file(path, tensors).ok());
  return path;
}

JobConfig job_of(const GoldenCase& golden, const std::string& autoencoder, const char* dtype) {
  const nlohmann::json& encoders = golden.json.at("encoders");
  const fs::path root = *titan::testing::golden_root();
  JobConfig config;
  config.model.name = "flux";
  config.encoder.t5_encoder = (root / encoders.at("t5").get<std::string>()).string();
  config.encoder.clip_encoder = (root / encoders.at("clip").get<std::string>()).string();
  config.encoder.autoencoder_path = autoencoder;
  config.encoder.max_t5_encoding_len = encoders.at("t5_length");
  config.training.dataset = "webdataset";
  config.training.dataset_path = kTars;
  config.training.img_size = golden.json.at("img_size");
  config.training.mixed_precision_param = dtype;
  config.dataset.crop = "center";  // the offset that the case fixes
  return config;
}

double rms(const at::Tensor& tensor) {
  return std::sqrt(tensor.to(at::kDouble).square().mean().item<double>());
}

/// fp32: largest error over the largest value; bf16: rms error over 1.5 x the recorded one.
class Comparison {
 public:
  explicit Comparison(const GoldenCase& golden, std::string dtype)
      : golden_(golden), dtype_(std::move(dtype)), report_("online, " + dtype_) {}

  void add(const std::string& key, const std::string& what, const std::string& field,
           const at::Tensor& actual) {
    const std::string fp32 = key + "." + what + "_fp32";
    if (dtype_ == "float32") {
      if (golden_.contains(fp32)) CHECK(report_.add(field, key, actual, golden_.at(fp32)) <= 1e-4);
      return;
    }
    if (golden_.contains(fp32)) {
      const double recorded =
          golden_.json.at("bf16_vs_fp32").at(key).at(field).at("rms").get<double>();
      const double error = rms(actual.to(at::kFloat) - golden_.at(fp32));
      report_.add(field + ", rms over the recorded", key, error / recorded);
      CHECK(error <= 1.5 * recorded);
    }
    const std::string bf16 = key + "." + what + "_bf16";
    if (!golden_.contains(bf16)) return;
    // Two roundings apart: each is off by what is recorded of two photographs.
    double recorded = 0;
    for (const auto& [photo, of] : golden_.json.at("bf16_vs_fp32").items())
      recorded = std::max(recorded, of.at(field).at("rms_over_ref_rms").get<double>());
    const at::Tensor theirs = golden_.at(bf16).to(at::kFloat);
    const double error = rms(actual.to(at::kFloat) - theirs) / rms(theirs);
    report_.add(field + ", against bf16 over the recorded", key, error / recorded);
    CHECK(error <= 2.5 * recorded);
  }

 private:
  const GoldenCase& golden_;
  std::string dtype_;
  titan::testing::ErrorReport report_;
};

void compare_all(const GoldenCase& golden, const JobConfig& config) {
  const auto spec = titan::complete_spec(config);
  REQUIRE(spec.ok());
  auto opened = spec->dataset(config);
  INFO(titan::message_of(opened.status()));
  REQUIRE(opened.ok());
  const std::shared_ptr<const titan::Dataset> dataset = *std::move(opened);
  const auto encoder = RunEncoder::open_alone(config, *spec, at::kCPU);
  INFO(titan::message_of(encoder.status()));
  REQUIRE(encoder.ok());
  Comparison comparison(golden, config.training.mixed_precision_param);
  titan::OnePassLoader loader(dataset, {.batch_size = 8});
  const auto& photos = golden.json.at("photos");
  REQUIRE(loader.num_samples() == static_cast<int64_t>(photos.size()));
  for (int64_t round = 0; round < loader.rounds(); ++round) {
    auto pass = loader.next();
    REQUIRE(pass.ok());
    Batch& batch = pass->batch;
    const at::Tensor images = batch.fields.get("image").clone();
    (*encoder)->encode(batch);
    CHECK_FALSE(batch.fields.contains("image"));
    for (int64_t i = 0; i < batch.size(); ++i) {
      const auto& photo = photos.at(static_cast<std::size_t>(pass->first + i));
      const std::string key = photo.at("key");
      const at::Tensor image = images[i].contiguous();
      CHECK(titan::testing::sha256_hex(image.const_data_ptr(), image.nbytes()) ==
            photo.at("image_fp32_sha256").get<std::string>());
      for (const auto& [what, field] :
           {std::pair("t5", "t5_encodings"), std::pair("clip", "clip_encodings"),
            std::pair("mean", "mean"), std::pair("logvar", "logvar")})
        comparison.add(key, what, field, batch.fields.get(field)[i]);
    }
  }
}

}  // namespace

TEST_CASE("photographs and captions become the reference's encodings", "[flux][golden]") {
  if (!fs::is_directory(kTars)) TITAN_SKIP("no photographs in ../shared/data/cc12m_test");
  titan::clear_models();
  REQUIRE(titan::models::register_builtin_models().ok());
  const TemporaryFolder folder;
  for (const fs::path& path : titan::testing::golden_cases("data/pipeline", "online")) {
    const GoldenCase golden = titan::testing::load_golden(path);
    const std::string autoencoder =
        write_autoencoder(golden.json.at("encoders").at("vae"), folder.file("ae.safetensors"));
    for (const char* dtype : {"float32", "bfloat16"}) {
      INFO(dtype);
      compare_all(golden, job_of(golden, autoencoder, dtype));
    }
  }
  titan::clear_models();
}
