#include "titan/checkpoint/weights.h"

#include "tests/checkpoint/read_weights.h"
#include "tests/checkpoint/small_state.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "titan/checkpoint/checkpoint_manager.h"

namespace titan::checkpoint {
namespace {

using titan::testing::fill;
using titan::testing::read_weights;
using titan::testing::slice_of;
using titan::testing::small_state;
using titan::testing::small_tensors;
using titan::testing::small_total;
using titan::testing::TemporaryFolder;
using titan::testing::value_of;

/// Every small tensor is there, in its shape, with the values stored under `prefix`.
void require_weights(const StatusOr<std::map<std::string, at::Tensor>>& weights,
                     const std::string& prefix, int64_t step) {
  REQUIRE(weights.ok());
  REQUIRE(weights->size() == small_tensors().size());
  for (const auto& [name, tensor] : *weights) {
    const auto expected =
        std::find_if(small_tensors().begin(), small_tensors().end(),
                     [&, &wanted = name](const auto& t) { return t.name == wanted; });
    REQUIRE(expected != small_tensors().end());
    REQUIRE(tensor.sizes() == at::IntArrayRef(expected->shape));
    const at::Tensor flat = tensor.reshape({-1});
    for (int64_t i = 0; i < flat.numel(); ++i)
      REQUIRE(flat.const_data_ptr<float>()[i] == value_of(prefix + "." + name, i, step));
  }
}

}  // namespace

TEST_CASE("Exported weights are whole tensors under their own names", "[checkpoint]") {
  const TemporaryFolder folder;
  const std::string path = folder.file("weights.safetensors");
  std::vector<CheckpointItem> items = {slice_of("model", small_tensors(), 0, 40),
                                       slice_of("model", small_tensors(), 40, small_total())};
  for (CheckpointItem& item : items) fill(item, 9);
  REQUIRE(export_weights(path, items).ok());
  require_weights(read_weights(path, "model"), "model", 9);
  items.pop_back();
  const Status partial = export_weights(path, items);
  REQUIRE(message_of(partial).find("cannot export blocks.0.w: this rank holds 5 of 60 elements") !=
          std::string::npos);
  require_weights(read_weights(path, "model"), "model", 9);  // the file before is still whole
}

TEST_CASE("Weights are read from a checkpoint or a folder of them, plain or averaged",
          "[checkpoint]") {
  const TemporaryFolder folder;
  auto manager = CheckpointManager::open({.folder = folder.path().string()});
  REQUIRE(read_weights(folder.path().string(), "model").status().code() ==
          absl::StatusCode::kNotFound);
  for (const int64_t step : {1, 2}) REQUIRE(manager->save({.step = step}, small_state(step)).ok());
  require_weights(read_weights(folder.path().string(), "model"), "model", 2);
  require_weights(read_weights(folder.path().string(), "ema"), "ema", 2);
  require_weights(read_weights(manager->step_path(1), "ema"), "ema", 1);
  const auto absent = read_weights(manager->step_path(1), "teacher");
  REQUIRE(message_of(absent.status()).find("holds no weights under \"teacher\"") !=
          std::string::npos);
}

}  // namespace titan::checkpoint
