#include "titan/metrics/tensorboard.h"

#include <filesystem>

#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "titan/metrics/tensorboard_event.h"
#include "titan/metrics/tfrecord.h"

namespace titan::metrics {
namespace {

using titan::testing::slurp;
using titan::testing::TemporaryFolder;

std::string hex(const std::string& bytes) {
  std::string text;
  for (const unsigned char byte : bytes) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

TrainRecord record_at_step(int64_t step) {
  TrainRecord record;
  record.step = step;
  record.loss = 0.5;
  return record;
}

/// Steps of all events of all files in the folder, file names in order.
std::vector<int64_t> steps_in(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::vector<int64_t> steps;
  for (const std::string& file : files) {
    const std::string bytes = slurp(file);
    std::size_t offset = 0;
    while (const auto record = record_at(bytes, offset)) {
      steps.push_back(*step_of_event(record->payload));
      offset = record->end;
    }
    REQUIRE(offset == bytes.size());
  }
  return steps;
}

}  // namespace

TEST_CASE("Events have the bytes that TensorFlow's own protobuf writes", "[metrics]") {
  // SerializeToString() of the same messages, tensorboard 2.21.
  REQUIRE(
      hex(scalar_event(1234.5, 300, {{"loss_metrics/global_avg_loss", 0.25}, {"im/s", 412}})) ==
      "0900000000004a934010ac022a320a230a1c6c6f73735f6d6574726963732f676c6f62616c5f6176675f6c6f7373"
      "150000803e0a0b0a04696d2f73150000ce43");
  REQUIRE(hex(version_event(1234.5)) == "0900000000004a93401a0d627261696e2e4576656e743a32");
  REQUIRE(hex(restart_event(1234.5, 301)) == "0900000000004a934010ad023a020801");
  REQUIRE(step_of_event(scalar_event(1, 123456789012, {})) == 123456789012);
  REQUIRE(step_of_event(version_event(1)) == 0);
  REQUIRE_FALSE(step_of_event("\xff\xff not an event").has_value());
}

TEST_CASE("Train scalars carry torchtitan's tags; what is unknown is left out", "[metrics]") {
  TrainRecord r;
  r.loss = 0.5;
  r.loss_max = 0.75;
  r.grad_norm = 1.5;
  r.lr = 1e-3;
  r.samples_per_s = 400;
  r.step_s = 0.25;
  r.data_wait_share = 0.1;
  r.tflops = 3;
  r.mfu = 0.45;
  r.elements_per_s = 4096;
  r.memory = memory::MemoryStats{.peak_active = int64_t{1} << 30,
                                 .peak_reserved = int64_t{2} << 30,
                                 .capacity = int64_t{8} << 30};
  const Scalars expected = {{"loss_metrics/global_avg_loss", 0.5},
                            {"loss_metrics/global_max_loss", 0.75},
                            {"grad_norm", 1.5},
                            {"throughput(tps)", 4096},
                            {"im/s", 400},
                            {"it/s", 4},
                            {"tflops", 3},
                            {"mfu(%)", 45},
                            {"time_metrics/end_to_end(s)", 0.25},
                            {"time_metrics/data_loading(s)", 0.025},
                            {"time_metrics/data_loading(%)", 10},
                            {"memory/max_active(GiB)", 1},
                            {"memory/max_active(%)", 12.5},
                            {"memory/max_reserved(GiB)", 2},
                            {"memory/max_reserved(%)", 25},
                            {"memory/num_alloc_retries", 0},
                            {"memory/num_ooms", 0},
                            {"hparams/lr_0", 1e-3}};
  const Scalars scalars = train_scalars(r);
  REQUIRE(scalars.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    REQUIRE(scalars[i].first == expected[i].first);
    REQUIRE(scalars[i].second == Approx(expected[i].second));
  }
  TrainRecord unknown;
  unknown.loss = std::numeric_limits<double>::quiet_NaN();
  REQUIRE(train_scalars(unknown).empty());
  REQUIRE(eval_scalars({.loss = 0.25, .seconds = 3}) ==
          Scalars{{"val_loss_metrics/avg_loss", 0.25}, {"val_time_metrics/end_to_end(s)", 3}});
}

TEST_CASE("A resumed run cuts events of later steps", "[metrics]") {
  const TemporaryFolder folder;
  const std::string tb = folder.file("tb");
  REQUIRE(cut_tensorboard_back_to_step(tb, 5).ok());
  {
    auto sink = TensorboardSink::open(tb);
    REQUIRE(sink.ok());
    for (const int64_t step : {1, 10, 20, 30}) (*sink)->train(record_at_step(step));
    (*sink)->eval({.step = 30, .loss = 0.5});
  }
  REQUIRE(steps_in(tb) == std::vector<int64_t>{0, 1, 10, 20, 30, 30});
  {
    auto sink = TensorboardSink::open(tb, 20);
    REQUIRE(sink.ok());
    (*sink)->train(record_at_step(30));
  }
  REQUIRE(steps_in(tb) == std::vector<int64_t>{0, 1, 10, 20, 0, 21, 30});
}

TEST_CASE("A torn last event is cut off", "[metrics]") {
  const TemporaryFolder folder;
  {
    auto sink = TensorboardSink::open(folder.path().string());
    (*sink)->train(record_at_step(1));
    (*sink)->train(record_at_step(2));
  }
  const std::string file = std::filesystem::directory_iterator(folder.path().string())->path();
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 3);
  REQUIRE(cut_tensorboard_back_to_step(folder.path().string(), 100).ok());
  REQUIRE(steps_in(folder.path().string()) == std::vector<int64_t>{0, 1});
}

TEST_CASE("A folder that cannot be made is an error that names it", "[metrics]") {
  const auto sink = TensorboardSink::open("/proc/no-such-folder/tb");
  REQUIRE_FALSE(sink.ok());
  REQUIRE(message_of(sink.status()).find("/proc/no-such-folder/tb") != std::string::npos);
}

TEST_CASE("helper: writes events for a look with the real TensorBoard", "[.tensorboard-demo]") {
  const char* folder = std::getenv("TITAN_TB_DEMO");
  if (folder == nullptr) TITAN_SKIP("TITAN_TB_DEMO names no folder");
  {
    auto sink = TensorboardSink::open(folder);
    for (int64_t step = 10; step <= 50; step += 10) (*sink)->train(record_at_step(step));
  }
  auto sink = TensorboardSink::open(folder, 30);
  TrainRecord record = record_at_step(40);
  record.loss = 0.125;
  record.lr = 1e-3;
  (*sink)->train(record);
}

}  // namespace titan::metrics
