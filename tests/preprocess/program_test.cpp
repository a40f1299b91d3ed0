// `titan preprocess` itself: small golden encoders, the photographs of cc12m_disk, and what the
// reference's own job made of them.
#include "tests/support/catch.h"
// First of all: Catch2 and LibTorch share macros.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>
#include <regex>

#include "tests/preprocess/autoencoder_file.h"
#include "tests/support/golden.h"
#include "tests/support/process.h"
#include "tests/support/temporary_folder.h"
#include "titan/config/loader.h"
#include "titan/data/empty_encodings.h"
#include "titan/data/encoded_rows.h"
#include "titan/data/one_pass_loader.h"
#include "titan/data/tensor_file.h"
#include "titan/models/builtin.h"
#include "titan/train/model_setup.h"
#include "titan/train/run_encoder.h"

using namespace titan;
using namespace titan::testing;
namespace fs = std::filesystem;

namespace {

/// A golden cc12m_preprocessed with what made it: settings of the job, and the rows.
struct GoldenJob {
  std::vector<std::string> settings;
  fs::path arrow;                     ///< the folder data/arrow
  std::map<std::string, double> rms;  ///< of each field: the bound of the README
};

bool built() {
  static const Status registered = models::register_builtin_models();
  const auto spec = find_model("flux");
  return spec.ok() && (*spec)->encoder != nullptr;
}

/// The largest error of the reference's own bf16 run, times 1.5.
std::map<std::string, double> bounds(const nlohmann::json& online) {
  std::map<std::string, double> largest;
  for (const auto& [key, fields] : online.at("bf16_vs_fp32").items())
    for (const auto& [field, error] : fields.items())
      largest[field] = std::max(largest[field], 1.5 * error.at("rms").get<double>());
  return largest;
}

std::optional<GoldenJob> golden_job(const TemporaryFolder& folder) {
  for (const fs::path& arrow : golden_folders("data/arrow")) {
    if (!fs::exists(arrow / "cc12m_preprocessed_rows.json")) continue;
    const auto rows =
        nlohmann::json::parse(slurp((arrow / "cc12m_preprocessed_rows.json").string()));
    const auto& encoders = rows.at("encoders");
    const auto& vae = encoders.at("vae");
    const AutoencoderSizes sizes = {.ch = vae.at("ch"),
                                    .ch_mult = vae.at("ch_mult"),
                                    .blocks = vae.at("num_res_blocks"),
                                    .z = vae.at("z_channels")};
    const std::string weights = vae.at("weights");
    std::smatch amp;
    REQUIRE(std::regex_search(weights, amp, std::regex("amp ([0-9.]+)")));
    REQUIRE(write_tensor_file(folder / "ae.safetensors",
                              AutoencoderFile(sizes, std::stod(amp[1])).tensors())
                .ok());
    const fs::path golden = arrow.parent_path().parent_path();
    const std::string t5 = (golden / encoders.at("t5").get<std::string>()).string();
    const std::string clip = (golden / encoders.at("clip").get<std::string>()).string();
    const auto width = [](const std::string& path, const char* key) {
      const auto json = nlohmann::json::parse(slurp(path + "/config.json"));
      return (json.contains("text_config") ? json["text_config"] : json).at(key).get<int64_t>();
    };
    GoldenJob job;
    job.arrow = arrow;
    job.rms = bounds(
        nlohmann::json::parse(slurp((arrow.parent_path() / "pipeline/online.json").string())));
    job.settings = {
        "--config=flux_schnell_mlperf",
        "--job.device=cpu",
        "--job.num_threads=1",
        "--encoder.t5_encoder=" + t5,
        "--encoder.clip_encoder=" + clip,
        "--encoder.autoencoder_path=" + (folder / "ae.safetensors"),
        str_cat("--encoder.context_in_dim=", width(t5, "d_model")),
        str_cat("--encoder.vec_in_dim=", width(clip, "hidden_size")),
        str_cat("--encoder.max_t5_encoding_len=", encoders.at("t5_length").get<int64_t>()),
        "--training.dataset=cc12m_disk",
        "--training.dataset_path=" + (arrow / "cc12m_disk").string(),
        "--training.batch_size=3"};
    return job;
  }
  return std::nullopt;
}

ProcessResult preprocessed(const GoldenJob& job, const std::string& output,
                           const std::vector<std::string>& more = {},
                           const std::string& ngpu = "") {
  std::vector<std::string> command = {TITAN_BINARY_FOLDER "/titan", "preprocess"};
  command.insert(command.end(), job.settings.begin(), job.settings.end());
  command.push_back("--preprocessing.output_dataset_path=" + output);
  command.insert(command.end(), more.begin(), more.end());
  return run(command, {{"NGPU", ngpu}}, 300);
}

at::Tensor values_of(const EncodedRow& row, std::size_t field) {
  const at::Tensor copy = at::empty(row.shapes[field], at::kBFloat16);
  std::memcpy(copy.mutable_data_ptr(), row.values[field].data(), row.values[field].size());
  return copy;
}

constexpr const char* kUnbuilt = "this build's flux has no encoders";

}  // namespace

TEST_CASE("the program's encodings are those of the reference's job", "[preprocess][golden]") {
  if (!built()) TITAN_SKIP(kUnbuilt);
  const TemporaryFolder folder;
  const std::optional<GoldenJob> job = golden_job(folder);
  if (!job) TITAN_SKIP("no golden files");
  const auto golden =
      open_encoded_rows((job->arrow / "cc12m_preprocessed").string(), "golden").value();
  std::map<std::string, int64_t> place;
  for (int64_t i = 0; i < golden->size(); ++i) place[std::string(golden->tag(i)->key)] = i;
  for (const auto& [format, ngpu] : {std::pair{"arrow", "2"}, std::pair{"rows", ""}}) {
    const std::string output = folder / format;
    const ProcessResult result =
        preprocessed(*job, output, {str_cat("--preprocessing.format=", format)}, ngpu);
    INFO(result.output);
    REQUIRE(result.exit_code == 0);
    const auto rows = open_encoded_rows(output, "test").value();
    REQUIRE(rows->size() >= 1);
    ErrorReport report(str_cat("preprocess ", format, ", rms over bound"));
    for (int64_t i = 0; i < rows->size(); ++i) {
      const EncodedRow row = *rows->read(i);
      REQUIRE(place.count(std::string(row.key)) == 1);
      const EncodedRow expected = *golden->read(place.at(std::string(row.key)));
      CHECK((row.timestep == expected.timestep));
      REQUIRE((row.shapes == expected.shapes));
      for (std::size_t field = 0; field < kNumEncodedFields; ++field) {
        const at::Tensor difference =
            values_of(row, field).to(at::kDouble) - values_of(expected, field).to(at::kDouble);
        const double rms = std::sqrt(difference.square().mean().item<double>());
        report.add(kEncodedFields[field], std::string(row.key),
                   rms / job->rms.at(kEncodedFields[field]));
        CHECK(rms <= job->rms.at(kEncodedFields[field]));
      }
    }
  }
  const StatusOr<EmptyEncodings> empty = load_empty_encodings(folder / "empty_encodings");
  INFO(message_of(empty.status()));
  REQUIRE(empty.ok());
  const EmptyEncodings reference =
      load_empty_encodings((job->arrow / "empty_encodings").string()).value();
  CHECK(relative_difference(empty->t5.to(at::kFloat), reference.t5.to(at::kFloat)) < 0.05);
  CHECK(relative_difference(empty->clip.to(at::kFloat), reference.clip.to(at::kFloat)) < 0.05);
  // Called again: finished, and other encoders on the same folder are another job.
  const ProcessResult again = preprocessed(*job, folder / "arrow");
  INFO(again.output);
  CHECK(again.exit_code == 0);
  CHECK(again.mentions("finished already"));
  const ProcessResult other =
      preprocessed(*job, folder / "arrow", {"--training.mixed_precision_param=float32"});
  INFO(other.output);
  CHECK(other.exit_code == 2);
  CHECK(other.mentions("precision (bfloat16 there, float32 here)"));
}

TEST_CASE("a sample encoded while training has the bits that the job has stored",
          "[preprocess][golden]") {
  if (!built()) TITAN_SKIP(kUnbuilt);
  const TemporaryFolder folder;
  const std::optional<GoldenJob> job = golden_job(folder);
  if (!job) TITAN_SKIP("no golden files");
  const ProcessResult result = preprocessed(*job, folder / "out", {"--preprocessing.format=rows"});
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
  const auto rows = open_encoded_rows(folder / "out", "test").value();
  const JobConfig config = load_config(job->settings).value().config;
  const ModelSpec spec = complete_spec(config).value();
  const std::shared_ptr<const Dataset> dataset = spec.dataset(config).value();
  const auto encoder = RunEncoder::open_alone(config, spec, at::kCPU).value();
  const int threads = at::get_num_threads();
  at::set_num_threads(1);  // as the job's
  const at::NoGradGuard no_grad;
  OnePassLoader loader(dataset, {.batch_size = config.training.batch_size});
  for (int64_t round = 0; round < loader.rounds(); ++round) {
    PassBatch pass = loader.next().value();
    const int64_t count = pass.batch.size();
    encoder->encode(pass.batch);
    for (int64_t i = 0; i < count; ++i) {
      const EncodedRow row = *rows->read(pass.first + i);
      for (std::size_t field = 0; field < kNumEncodedFields; ++field) {
        INFO(kEncodedFields[field] << " of sample " << pass.first + i);
        const at::Tensor online =
            pass.batch.fields.get(kEncodedFields[field])[i].to(at::kBFloat16).contiguous();
        REQUIRE(online.nbytes() == row.values[field].size());
        CHECK(std::memcmp(online.const_data_ptr(), row.values[field].data(), online.nbytes()) == 0);
      }
    }
  }
  at::set_num_threads(threads);
}

TEST_CASE("what the program needs and lacks is said", "[preprocess]") {
  if (!built()) TITAN_SKIP(kUnbuilt);
  const TemporaryFolder folder;
  const std::optional<GoldenJob> job = golden_job(folder);
  if (!job) TITAN_SKIP("no golden files");
  const auto refused = [&](const std::vector<std::string>& more, const std::string& text) {
    const ProcessResult result = preprocessed(*job, folder / "out", more);
    INFO(result.output);
    CHECK(result.exit_code == 2);
    CHECK(result.mentions(text));
    CHECK_FALSE(fs::exists(folder / "out"));
  };
  refused({"--encoder.t5_encoder=" + (folder / "nothing")}, "nothing");
  refused({"--encoder.t5_encoder=", "--encoder.clip_encoder="}, "encoder.t5_encoder");
  refused({"--training.dataset_path=" + (folder / "no_data")}, "no_data");
  refused({"--preprocessing.format=parquet"}, "parquet");
}
