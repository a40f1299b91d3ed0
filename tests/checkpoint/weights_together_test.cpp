#include "titan/checkpoint/weights_together.h"

#include <filesystem>

#include "tests/checkpoint/ranks_of_save.h"
#include "tests/support/catch.h"
#include "titan/data/tensor_file.h"

namespace titan::checkpoint {
namespace {

namespace fs = std::filesystem;
using titan::testing::ExchangeFunction;
using titan::testing::on_ranks;
using titan::testing::TemporaryFolder;
using titan::testing::unit_slice;
using titan::testing::units_of_test;
using titan::testing::value_of;

std::vector<Status> export_on(const std::string& path, int64_t ranks, int64_t shards,
                              TensorType type) {
  std::vector<Status> results(static_cast<std::size_t>(ranks));
  on_ranks(static_cast<std::size_t>(ranks), [&](int64_t rank, ExchangeFunction exchange) {
    std::vector<CheckpointItem> items;
    for (const auto& unit : units_of_test(/*wide=*/true)) {
      items.push_back(unit_slice("ema", unit, rank % shards, shards));
      titan::testing::fill(items.back(), 2);
    }
    results[static_cast<std::size_t>(rank)] =
        export_together(path, items, {{"format", "pt"}}, type, {rank, std::move(exchange)});
  });
  return results;
}

}  // namespace

TEST_CASE("Weights spread over ranks become one ordinary file", "[checkpoint]") {
  for (const auto& [ranks, shards] : {std::pair{1, 1}, {3, 1}, {3, 3}, {4, 2}, {8, 8}}) {
    for (const TensorType type : {TensorType::kF32, TensorType::kBF16}) {
      CAPTURE(ranks, shards);
      const TemporaryFolder folder;
      for (const Status& status : export_on(folder.file("w.safetensors"), ranks, shards, type)) {
        INFO(status.ToString());
        REQUIRE(status.ok());
      }
      const auto file = TensorFile::open(folder.file("w.safetensors"));
      REQUIRE(file.ok());
      REQUIRE(file->metadata().at("format") == "pt");
      std::size_t count = 0;
      for (const auto& unit : units_of_test(/*wide=*/true)) {
        for (const auto& tensor : unit) {
          ++count;
          const at::Tensor stored = *file->view(tensor.name);
          REQUIRE(stored.sizes().vec() == tensor.shape);
          at::Tensor expected = at::empty(tensor.shape, at::kFloat);
          for (int64_t i = 0; i < expected.numel(); ++i)
            expected.mutable_data_ptr<float>()[i] = value_of("ema." + tensor.name, i, 2);
          REQUIRE(at::equal(stored, expected.to(scalar_type_of(type))));
        }
      }
      REQUIRE(file->entries().size() == count);
      REQUIRE(std::distance(fs::directory_iterator(folder.path()), {}) == 1);
    }
  }
}

TEST_CASE("An export that cannot be written fails on all ranks", "[checkpoint]") {
  const TemporaryFolder folder;
  fs::create_directory(folder.file("w.safetensors"));
  for (const auto& [ranks, shards] : {std::pair{2, 1}, {3, 3}}) {
    for (const Status& status :
         export_on(folder.file("w.safetensors"), ranks, shards, TensorType::kF32)) {
      INFO(status.ToString());
      REQUIRE_FALSE(status.ok());
      REQUIRE(message_of(status).find("w.safetensors") != std::string::npos);
    }
    REQUIRE(std::distance(fs::directory_iterator(folder.path()), {}) == 1);
  }
}

}  // namespace titan::checkpoint
