#include "titan/metrics/jsonl.h"

#include <cmath>
#include <ctime>
#include <limits>
#include <nlohmann/json.hpp>

#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace titan::metrics {
namespace {

using Json = nlohmann::json;
using titan::testing::slurp;
using titan::testing::TemporaryFolder;

std::vector<Json> lines_of(const std::string& path) {
  std::istringstream text(slurp(path));
  std::vector<Json> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(Json::parse(line));
  return lines;
}

}  // namespace

TEST_CASE("metrics.jsonl holds one object a line, readable while the run goes on", "[metrics]") {
  const TemporaryFolder folder;
  const std::string path = folder.file("metrics.jsonl");
  auto sink = JsonlSink::open(path);
  REQUIRE(sink.ok());
  TrainRecord train;
  train.step = 10;
  train.samples = 320;
  train.loss = 0.123456789012345;
  train.loss_max = std::numeric_limits<double>::infinity();
  train.lr = 8e-4;
  train.memory_gib = 1.5;
  (*sink)->train(train);
  (*sink)->eval(
      {.step = 10, .samples = 64, .loss = 0.25, .seconds = 1.5, .values = {{"fid", 12.5}}});
  (*sink)->event({10,
                  "checkpoint",
                  {{"path", "step-\xff"}, {"bytes", int64_t{7}}, {"seconds", std::nan("")}}});

  const std::vector<Json> lines = lines_of(path);
  REQUIRE(lines.size() == 3);
  const std::string text = slurp(path);
  const auto first = nlohmann::ordered_json::parse(text.substr(0, text.find('\n')));
  std::vector<std::string> keys;
  for (const auto& [key, value] : first.items()) keys.push_back(key);
  REQUIRE(keys == std::vector<std::string>{"kind", "step", "samples", "loss", "loss_max",
                                           "grad_norm", "lr", "samples_per_s", "step_s",
                                           "data_wait_share", "tflops", "mfu", "memory_gib",
                                           "time"});
  for (const Json& line : lines) {
    const double age_s = static_cast<double>(std::time(nullptr)) - line["time"].get<double>();
    REQUIRE(std::abs(age_s) < 60);  // written in this test
  }
  REQUIRE(lines[0]["kind"] == "train");
  REQUIRE(lines[0]["loss"].get<double>() == 0.123456789012345);
  REQUIRE(lines[0]["loss_max"].is_null());  // not finite
  REQUIRE(lines[0]["mfu"].is_null());       // unknown
  REQUIRE(lines[1]["kind"] == "eval");
  REQUIRE(lines[1]["fid"] == 12.5);
  REQUIRE(lines[2]["kind"] == "event");
  REQUIRE(lines[2]["event"] == "checkpoint");
  REQUIRE(lines[2]["bytes"] == 7);
  REQUIRE(lines[2]["seconds"].is_null());
}

TEST_CASE("Resuming removes the lines of later steps and a torn one, then appends", "[metrics]") {
  const TemporaryFolder folder;
  const std::string path = folder.file("metrics.jsonl");
  REQUIRE(cut_jsonl_back_to_step(path, 5).ok());
  REQUIRE_FALSE(std::filesystem::exists(path));
  const auto write_steps = [&](std::initializer_list<int64_t> steps) {
    auto sink = JsonlSink::open(path);
    for (const int64_t step : steps) (*sink)->train({.step = step});
    (*sink)->event({*(steps.end() - 1), "sample", {}});
  };
  write_steps({10, 20, 30, 40});
  folder.write("metrics.jsonl", slurp(path) + "{\"kind\":\"train\",\"st");
  REQUIRE(cut_jsonl_back_to_step(path, 30).ok());
  write_steps({40});
  std::vector<int64_t> steps;
  for (const Json& line : lines_of(path)) steps.push_back(line["step"]);
  REQUIRE(steps == std::vector<int64_t>{10, 20, 30, 40, 40});
  const std::string before = slurp(path);
  REQUIRE(cut_jsonl_back_to_step(path, 100).ok());
  REQUIRE(slurp(path) == before);
}

TEST_CASE("The last event of a name is found, none where there is none", "[metrics]") {
  const TemporaryFolder folder;
  const std::string path = folder / "metrics.jsonl";
  REQUIRE_FALSE(find_event(path, "target").has_value());
  {
    auto sink = JsonlSink::open(path);
    (*sink)->event({.step = 4, .name = "target", .values = {{"loss", 0.75}}});
    (*sink)->event({.step = 8, .name = "target", .values = {{"loss", 0.5}}});
    (*sink)->event({.step = 9, .name = "checkpoint", .values = {}});
  }
  const auto event = find_event(path, "target");
  REQUIRE(event.has_value());
  REQUIRE(event->step == 8);
  REQUIRE(event->loss == 0.5);
  REQUIRE_FALSE(find_event(path, "resume").has_value());
}

TEST_CASE(
    "A place that cannot be written is an error that names it; a full disk does not end a run",
    "[metrics]") {
  const auto sink = JsonlSink::open("/no/such/folder/metrics.jsonl");
  REQUIRE_FALSE(sink.ok());
  REQUIRE(message_of(sink.status()).find("/no/such/folder/metrics.jsonl") != std::string::npos);
  auto full = JsonlSink::open("/dev/full");
  REQUIRE(full.ok());
  (*full)->train({.step = 1});
  (*full)->train({.step = 2});
}

}  // namespace titan::metrics
