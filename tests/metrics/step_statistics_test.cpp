#include "titan/metrics/step_statistics.h"

#include <fstream>

#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace titan;
using metrics::StepStatistics;
using metrics::TensorStatistics;
using testing::TemporaryFolder;

namespace {

TensorStatistics tensor(const std::string& phase, const std::string& unit, const std::string& name,
                        const std::string& hash, double mean) {
  TensorStatistics t;
  t.phase = phase;
  t.unit = unit;
  t.tensor = name;
  t.dtype = "Float";
  t.shape = {2, 3};
  t.hash = hash;
  t.mean = mean;
  t.std = 1;
  return t;
}

StepStatistics step() {
  StepStatistics s;
  s.step = 7;
  s.from_step = 4;
  s.revision = "abc \"quoted\"";
  s.samples = {3, 1, 2};
  s.tensors = {
      tensor("forward", "embed", "x", "aa", 0.5), tensor("forward", "block.0", "x", "bb", 1),
      tensor("forward", "block.1", "x", "cc", 2), tensor("backward", "block.1", "w", "dd", 3)};
  return s;
}

}  // namespace

TEST_CASE("Statistics of a step come back from their file as they were", "[metrics]") {
  const TemporaryFolder folder;
  const std::string path = folder / metrics::statistics_file_name(3);
  REQUIRE(path.ends_with("rank-00003.jsonl"));
  StepStatistics written = step();
  written.sample = 2;
  written.tensors[1].mean = 0.1;  // no short binary fraction
  written.tensors[1].nonfinite = 4;
  REQUIRE(metrics::write_statistics(path, written).ok());
  const auto read = metrics::read_statistics(path);
  REQUIRE(read.ok());
  REQUIRE(read->step == 7);
  REQUIRE(read->from_step == 4);
  REQUIRE(read->sample == 2);
  REQUIRE(read->revision == written.revision);
  REQUIRE(read->samples == written.samples);
  REQUIRE(read->tensors.size() == 4);
  REQUIRE(read->tensors[1].mean == 0.1);
  REQUIRE(read->tensors[1].nonfinite == 4);
  REQUIRE(read->tensors[1].shape == std::vector<int64_t>{2, 3});
  REQUIRE(metrics::compare_statistics(written, *read)->compared == 4);
  REQUIRE(!metrics::compare_statistics(written, *read)->first);
}

TEST_CASE("A statistics file that is cut short or foreign is named with its line", "[metrics]") {
  const TemporaryFolder folder;
  const std::string path = folder / "rank-00000.jsonl";
  const auto message = [&](const std::string& text) {
    std::ofstream(path) << text;
    const auto read = metrics::read_statistics(path);
    REQUIRE(!read.ok());
    return message_of(read.status());
  };
  REQUIRE(message("").find("empty") != std::string::npos);
  REQUIRE(message("{\"kind\": \"train\", \"step\": 1}\n").find("no file of a replay") !=
          std::string::npos);
  REQUIRE(metrics::write_statistics(path, step()).ok());
  std::ifstream file(path);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  REQUIRE(message(text.substr(0, text.size() - 20)).find("line 5") != std::string::npos);
}

TEST_CASE("The first tensor that differs is found in the order of computation", "[metrics]") {
  const StepStatistics a = step();
  StepStatistics b = step();
  b.tensors[2].hash = "other";
  b.tensors[2].mean = 2.5;
  b.tensors[3].hash = "other, too";
  const auto difference = metrics::compare_statistics(a, b);
  REQUIRE(difference.ok());
  REQUIRE(difference->unequal == 2);
  REQUIRE(difference->first == 2u);
  const std::string text = metrics::difference_text(a, b, *difference);
  INFO(text);
  REQUIRE(text.find("forward of block.1: x (micro-batch 0)") != std::string::npos);
  REQUIRE(text.find("2 before it are equal") != std::string::npos);
  REQUIRE(text.find("forward of block.1 (micro-batch 0): 1 tensors, 5.00e-01") !=
          std::string::npos);
  REQUIRE(text.find("backward of block.1") != std::string::npos);
  REQUIRE(text.find("block.0") == std::string::npos);
  REQUIRE(
      metrics::difference_text(a, a, *metrics::compare_statistics(a, a)).find("equal to the bit") !=
      std::string::npos);
}

TEST_CASE("The drift of a number without spread is the share of its value", "[metrics]") {
  const auto drift_line = [](double ours, double theirs) {
    StepStatistics a = step(), b = step();
    a.tensors = {tensor("loss", "model", "loss", "aa", ours)};
    b.tensors = {tensor("loss", "model", "loss", "bb", theirs)};
    a.tensors[0].std = b.tensors[0].std = 0;
    return metrics::difference_text(a, b, *metrics::compare_statistics(a, b));
  };
  REQUIRE(drift_line(2, 2.06).find("loss of model (micro-batch 0): 1 tensors, 2.91e-02") !=
          std::string::npos);
  REQUIRE(drift_line(0, -0.0).find("1 tensors, 0.00e+00") != std::string::npos);
}

TEST_CASE("Steps, samples, ranks and models that are not the same are not compared", "[metrics]") {
  const auto refused = [](auto change) {
    StepStatistics other = step();
    change(other);
    const auto difference = metrics::compare_statistics(step(), other);
    REQUIRE(!difference.ok());
    return message_of(difference.status());
  };
  REQUIRE(refused([](StepStatistics& s) { s.step = 8; }).find("step 7 and 8") != std::string::npos);
  REQUIRE(refused([](StepStatistics& s) { s.sample = 5; }).find("sample (all) and 5") !=
          std::string::npos);
  REQUIRE(refused([](StepStatistics& s) { s.world_size = 2; }).find("ranks 1 and 2") !=
          std::string::npos);
  REQUIRE(refused([](StepStatistics& s) { s.tensors.pop_back(); }).find("nothing") !=
          std::string::npos);
  REQUIRE(refused([](StepStatistics& s) { s.tensors[0].unit = "head"; }).find("forward of head") !=
          std::string::npos);
}
