#include "titan/checkpoint/weight_source.h"

#include "tests/checkpoint/read_weights.h"
#include "tests/checkpoint/small_state.h"
#include "tests/support/catch.h"
#include "tests/support/golden_root.h"
#include "tests/support/temporary_folder.h"
#include "titan/checkpoint/checkpoint_manager.h"
#include "titan/checkpoint/recipe_reader.h"
#include "titan/checkpoint/weight_export.h"
#include "titan/checkpoint/weights.h"

namespace titan::checkpoint {
namespace {

using Catch::Matchers::Contains;
using titan::testing::all_hold;
using titan::testing::count_of;
using titan::testing::fill;
using titan::testing::NamedShape;
using titan::testing::read_weights;
using titan::testing::slice_of;
using titan::testing::small_tensors;
using titan::testing::small_total;
using titan::testing::TemporaryFolder;
using titan::testing::value_of;

/// The small state in three slices, so that tensors are stored in several fragments.
std::vector<CheckpointItem> sliced(const std::string& prefix, int64_t step = -1) {
  std::vector<CheckpointItem> items = {slice_of(prefix, small_tensors(), 0, 20),
                                       slice_of(prefix, small_tensors(), 20, 61),
                                       slice_of(prefix, small_tensors(), 61, small_total())};
  if (step >= 0)
    for (CheckpointItem& item : items) fill(item, step);
  return items;
}

std::vector<TensorRecipe> own_recipes(const WeightSource& source) {
  const auto recipes = own_names_only()->recipes(source.tensors(), "own", "own");
  REQUIRE(recipes.ok());
  return *recipes;
}

/// A run folder with a checkpoint of step 3, and the same weights as one file.
struct Stored {
  TemporaryFolder folder;
  std::string run = folder / "run";
  std::string file = folder / "weights.safetensors";
  Stored() {
    const auto manager = CheckpointManager::open({.folder = run + "/checkpoint"});
    REQUIRE(manager.ok());
    REQUIRE(manager->save({.step = 3}, sliced("model", 3)).ok());
    REQUIRE(export_weights(file, sliced("model", 3)).ok());
  }
};

TEST_CASE("Any part of a tensor is read, from fragments or from a file", "[checkpoint]") {
  const Stored stored;
  for (const std::string& path :
       {stored.run, stored.run + "/checkpoint/step-000003", stored.file}) {
    const auto source = WeightSource::open(path);
    INFO(path << (source.ok() ? "" : message_of(source.status())));
    REQUIRE(source.ok());
    CHECK((*source)->is_checkpoint() == (path != stored.file));
    CHECK((*source)->verify().ok());
    REQUIRE((*source)->tensors().size() == small_tensors().size());
    for (const NamedShape& tensor : small_tensors()) {
      const TensorSpec* spec = (*source)->find(tensor.name);
      REQUIRE(spec != nullptr);
      CHECK(spec->shape == tensor.shape);
      const int64_t count = count_of(tensor.shape);
      for (int64_t first = 0; first < count; ++first) {
        std::vector<float> part(static_cast<std::size_t>(count - first));
        REQUIRE((*source)->read(tensor.name, first, count - first, part.data()).ok());
        for (int64_t i = first; i < count; ++i)
          REQUIRE(part[static_cast<std::size_t>(i - first)] ==
                  value_of("model." + tensor.name, i, 3));
      }
    }
  }
  CHECK_THAT(message_of(WeightSource::open(stored.run, "ema").status()),
             Contains("no weights under \"ema\""));
  CHECK_THAT(message_of(WeightSource::open(stored.run + "/x").status()),
             Contains("does not exist"));
}

TEST_CASE("Files of torch.save are weights like any others", "[checkpoint]") {
  const std::string golden = "tests/golden/torch_files/";
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "hf");
  for (const char* name : {"pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin",
                           "pytorch_model.bin.index.json"})
    std::filesystem::copy(golden + "sharded/" + name, folder / (std::string("hf/") + name));
  const auto whole = read_weights(golden + "zip.pt", "model");
  INFO((whole.ok() ? "" : message_of(whole.status())));
  REQUIRE(whole.ok());
  CHECK(at::equal(whole->at("shared.transposed"), whole->at("shared.whole").t()));
  CHECK(at::equal(whole->at("shared.strided"),
                  whole->at("shared.whole").slice(0, 1, 6, 2).slice(1, 1, 8, 3)));
  for (const std::string& path :
       {golden + "legacy.bin", folder / "hf", folder / "hf/pytorch_model.bin.index.json"}) {
    const auto same = read_weights(path, "model");
    INFO(path << (same.ok() ? "" : message_of(same.status())));
    REQUIRE(same.ok());
    CHECK(same->size() >= 6);
    for (const auto& [name, tensor] : *same) CHECK(at::equal(tensor, whole->at(name)));
  }
  std::filesystem::remove(folder / "hf/pytorch_model-00002-of-00002.bin");
  CHECK_THAT(message_of(WeightSource::open(folder / "hf").status()),
             Contains("missing beside it: pytorch_model-00002-of-00002.bin"));
  CHECK_THAT(message_of(WeightSource::open(golden + "hostile/system.pt").status()),
             Contains("posix.system") && Contains("nothing was run"));
}

TEST_CASE("The reference encoders' folders are opened as weights", "[checkpoint]") {
  const auto root = titan::testing::golden_root();
  if (!root || !std::filesystem::is_directory(*root / "encoders"))
    TITAN_SKIP(titan::testing::kNoGolden);
  int found = 0;
  for (const char* kind : {"t5", "clip", "vae"})
    for (const auto& entry : std::filesystem::directory_iterator(*root / "encoders" / kind)) {
      if (!entry.is_directory()) continue;
      const auto weights = read_weights(entry.path().string(), "model");
      INFO(entry.path() << (weights.ok() ? "" : message_of(weights.status())));
      REQUIRE(weights.ok());
      CHECK(weights->size() > 10);
      ++found;
    }
  CHECK(found > 0);
}

TEST_CASE("Weights go into any slices; what does not fit changes nothing", "[checkpoint]") {
  const Stored stored;
  const auto source = WeightSource::open(stored.run);
  REQUIRE(source.ok());
  std::vector<CheckpointItem> items = {slice_of("model", small_tensors(), 0, 33),
                                       slice_of("model", small_tensors(), 33, small_total())};
  REQUIRE(load_recipes(**source, own_recipes(**source), items, tensors_of(items)).ok());
  CHECK(all_hold(items, 3));

  std::vector<NamedShape> other = small_tensors();
  other[1].shape = {3, 5, 4};
  other[3].name = "blocks.0.bias";
  std::vector<CheckpointItem> unfit = {slice_of("model", other, 0, small_total())};
  const at::Tensor before = unfit[0].flat.clone();
  const Status status = load_recipes(**source, own_recipes(**source), unfit, tensors_of(unfit));
  CHECK(status.code() == absl::StatusCode::kFailedPrecondition);
  CHECK_THAT(message_of(status), Contains("1 missing: blocks.0.bias (there is blocks.0.b)") &&
                                     Contains("1 unknown: blocks.0.b") &&
                                     Contains("blocks.0.w is [3, 4, 5], not [3, 5, 4]"));
  CHECK(at::equal(unfit[0].flat, before));
}

TEST_CASE("Exports convert types; a checkpoint of weights alone can be read again",
          "[checkpoint]") {
  const Stored stored;
  const auto source = WeightSource::open(stored.run);
  REQUIRE(source.ok());
  const auto recipes = in_file_order(own_recipes(**source), TensorType::kBF16);
  std::vector<TensorSpec> specs;
  for (const TensorRecipe& recipe : recipes) specs.push_back(recipe.tensor);
  auto plan = plan_one_file(stored.folder / "bf16.safetensors", specs);
  REQUIRE(plan.ok());
  std::uint64_t seen = 0;
  const std::uint64_t total = plan->total_bytes;
  REQUIRE(export_to_files(**source, recipes, std::move(*plan), {}, [&](std::uint64_t bytes) {
            seen = bytes;
          }).ok());
  CHECK(seen == total);
  const auto narrow = read_weights(stored.folder / "bf16.safetensors", "model");
  const auto wide = read_weights(stored.file, "model");
  REQUIRE((narrow.ok() && wide.ok()));
  REQUIRE(narrow->size() == wide->size());
  for (const auto& [name, tensor] : *narrow)
    CHECK(at::equal(tensor, wide->at(name).to(at::kBFloat16)));
  REQUIRE(export_to_checkpoint(**source, own_recipes(**source), stored.folder / "seed", {}).ok());
  const auto manager = CheckpointManager::open({.folder = stored.folder / "seed"});
  REQUIRE(manager.ok());
  std::vector<CheckpointItem> items = sliced("model");
  const auto meta = manager->load(items, 0);
  REQUIRE(meta.ok());
  CHECK(meta->step == 0);
  CHECK(all_hold(items, 3));
}

TEST_CASE("A damaged checkpoint is found before its weights are used", "[checkpoint]") {
  const Stored stored;
  const std::string file = stored.run + "/checkpoint/step-000003/rank-00000.safetensors";
  std::fstream damaged(file, std::ios::in | std::ios::out | std::ios::binary);
  damaged.seekp(-3, std::ios::end);
  damaged.put('\x55');
  damaged.close();
  const auto source = WeightSource::open(stored.run);
  REQUIRE(source.ok());
  CHECK_THAT(message_of((*source)->verify()), Contains("rank-00000.safetensors is damaged"));
}

}  // namespace
}  // namespace titan::checkpoint
