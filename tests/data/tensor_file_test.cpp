#include "tests/support/catch.h"

#include "titan/data/tensor_file.h"

#include <ATen/ATen.h>

#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"

namespace titan {
namespace {

using Catch::Matchers::Contains;
using testing::TemporaryFolder;

TEST_CASE("Tensors of every type come back equal from a tensor file", "[data]") {
  const TemporaryFolder folder;
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  const at::Tensor values = at::arange(12).reshape({3, 4});
  for (const at::ScalarType type :
       {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt, at::kShort,
        at::kChar, at::kByte, at::kBool, at::kFloat8_e4m3fn, at::kFloat8_e5m2})
    tensors.emplace_back(c10::toString(type), values.to(type));
  tensors.emplace_back("transposed", values.to(at::kFloat).t());
  const std::string path = folder.file("t.safetensors");
  REQUIRE(write_tensor_file(path, tensors, {{"k", "v"}}).ok());

  at::Tensor kept;
  {
    const StatusOr<TensorFile> file = TensorFile::open(path);
    REQUIRE(file.ok());
    CHECK(file->metadata().at("k") == "v");
    for (const auto& [name, tensor] : tensors) {
      const StatusOr<at::Tensor> read = file->view(name);
      REQUIRE(read.ok());
      CHECK(read->scalar_type() == tensor.scalar_type());
      CHECK(at::equal(read->to(at::kDouble), tensor.to(at::kDouble)));
    }
    kept = *file->view("Float");
    CHECK(file->view("absent").status().code() == absl::StatusCode::kNotFound);
  }
  CHECK(at::equal(kept, values.to(at::kFloat)));  // a view outlives its file object
}

TEST_CASE("An unaligned tensor is copied", "[data]") {
  const TemporaryFolder folder;
  const std::string path = folder.file("t.safetensors");
  const at::Tensor b = at::arange(3, at::kFloat);
  REQUIRE(write_tensor_file(path, {{"a", at::zeros({1}, at::kByte)}, {"b", b}}).ok());
  const at::Tensor read = *TensorFile::open(path)->view("b");
  CHECK(reinterpret_cast<std::uintptr_t>(read.const_data_ptr()) % 4 == 0);
  CHECK(at::equal(read, b));
}

TEST_CASE("relative_difference measures against the largest expected value", "[data]") {
  const at::Tensor expected = at::tensor({1.0, -4.0});
  CHECK(testing::relative_difference(expected, expected) == 0);
  CHECK(testing::relative_difference(at::tensor({1.0, -3.0}), expected) == 0.25);
  CHECK(testing::relative_difference(at::tensor({0.5}), at::tensor({0.0})) == 0.5);
  CHECK(std::isinf(testing::relative_difference(at::tensor({1.0}), expected)));
  CHECK(std::isinf(testing::relative_difference(at::tensor({1.0, NAN}), expected)));
}

TEST_CASE("Golden cases load with the shapes that their JSON names", "[data][golden]") {
  const auto cases = testing::golden_cases("dit");
  if (cases.empty()) TITAN_SKIP(testing::kNoGolden);
  for (const auto& path : cases) {
    const testing::GoldenCase golden = testing::load_golden(path);
    INFO(golden.name);
    if (golden.tensors.empty()) continue;
    const nlohmann::json& described = golden.json.at("tensors");
    REQUIRE(described.size() == golden.tensors.size());
    for (const auto& [name, tensor] : golden.tensors)
      CHECK(described.at(name).at("shape").get<std::vector<int64_t>>() == tensor.sizes().vec());
  }
}

}  // namespace
}  // namespace titan
