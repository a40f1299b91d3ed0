// Weights and moments change their storage between a save and a load.
#include "tests/support/catch.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/randn.h>

#include "titan/checkpoint/checkpoint_manager.h"
#include "titan/checkpoint/weights.h"

#include "tests/checkpoint/small_state.h"
#include "tests/support/temporary_folder.h"

namespace titan::checkpoint {
namespace {

using titan::testing::slice_of;
using titan::testing::small_tensors;
using titan::testing::small_total;
using titan::testing::TemporaryFolder;

enum class Storage { kFloat32, kPairs, kBFloat16 };

/// Numbers that need all bits of a float32.
at::Tensor numbers(const CheckpointItem& item) {
  return at::randn({item.flat.numel()}, at::make_generator<at::CPUGeneratorImpl>(3), at::kFloat);
}

CheckpointItem item_in(Storage storage, bool filled) {
  CheckpointItem item = slice_of("model", small_tensors(), 0, small_total());
  const at::Tensor start = filled ? numbers(item) : at::zeros_like(item.flat);
  if (storage != Storage::kFloat32) item.flat = at::zeros_like(item.flat, at::kBFloat16);
  if (storage == Storage::kPairs) item.remainder = at::zeros_like(item.flat, at::kShort);
  item.values().assign(start);
  return item;
}

/// What lies in fragments, as float32.
std::vector<at::Tensor> parts(const CheckpointItem& item) {
  std::vector<at::Tensor> values;
  for (const parallel::Fragment& fragment : item.fragments)
    values.push_back(item.part(fragment).values().to(at::kFloat).clone());
  return values;
}

}  // namespace

TEST_CASE("A checkpoint passes between storages, exactly where both hold float32", "[checkpoint]") {
  const Storage saved = GENERATE(Storage::kFloat32, Storage::kPairs, Storage::kBFloat16);
  const Storage loaded = GENERATE(Storage::kFloat32, Storage::kPairs, Storage::kBFloat16);
  const bool beside = GENERATE(false, true);
  CAPTURE(static_cast<int>(saved), static_cast<int>(loaded), beside);
  const TemporaryFolder folder;
  auto manager = CheckpointManager::open({.folder = folder.path().string()}).value();
  const std::vector<CheckpointItem> from = {item_in(saved, true)};
  if (beside) {
    REQUIRE(manager.reserve(from).ok());
    REQUIRE(manager.start_save({.step = 1}, from).ok());
    REQUIRE(manager.finish().ok());
  } else {
    REQUIRE(manager.save({.step = 1}, from).ok());
  }
  const std::vector<CheckpointItem> to = {item_in(loaded, false)};
  const auto result = manager.load(to);
  REQUIRE(result.ok());
  const auto expected = parts(from[0]), actual = parts(to[0]);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const at::Tensor exact =
        loaded == Storage::kBFloat16 ? expected[i].to(at::kBFloat16).to(at::kFloat) : expected[i];
    REQUIRE(at::equal(actual[i], exact));
  }
}

TEST_CASE("Pairs are saved as the float32 file, byte by byte", "[checkpoint]") {
  const auto file_of = [](Storage storage) {
    const TemporaryFolder folder;
    auto manager = CheckpointManager::open({.folder = folder.path().string()}).value();
    REQUIRE(manager.save({.step = 1}, {item_in(storage, true)}).ok());
    return testing::slurp((folder.path() / "step-000001/rank-00000.safetensors").string());
  };
  REQUIRE(file_of(Storage::kPairs) == file_of(Storage::kFloat32));
}

TEST_CASE("Pairs are exported as the float32 weights that they are", "[checkpoint]") {
  const TemporaryFolder folder;
  REQUIRE(export_weights(folder.file("pairs"), {item_in(Storage::kPairs, true)}, {}, {}).ok());
  REQUIRE(export_weights(folder.file("wide"), {item_in(Storage::kFloat32, true)}, {}, {}).ok());
  REQUIRE(testing::slurp(folder.file("pairs")) == testing::slurp(folder.file("wide")));
}

}  // namespace titan::checkpoint
