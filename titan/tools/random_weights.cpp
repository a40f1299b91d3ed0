#include "titan/tools/random_weights.h"

#include <algorithm>
#include <memory>

#include "titan/base/hash.h"
#include "titan/base/philox.h"
#include "titan/io/safetensors.h"
#include "titan/kernels/philox.h"

namespace titan {
namespace {

constexpr std::int64_t kPiece = 1 << 20;  ///< elements drawn and written at a time

std::int64_t num_elements(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return count;
}

Status write_tensor(SafetensorsWriter& writer, const RandomTensor& tensor, std::uint64_t seed) {
  const std::int64_t count = num_elements(tensor.shape);
  std::vector<float> values;
  for (std::int64_t first = 0; first < count; first += kPiece) {
    values.assign(static_cast<std::size_t>(std::min(kPiece, count - first)), tensor.constant);
    if (tensor.deviation > 0) {
      kernels::philox_fill_cpu(kernels::RandomField::kNormal,
                               philox_key(seed, RandomPurpose::kParameterInit),
                               static_cast<std::int64_t>(xxh3_64(tensor.name)), /*epoch=*/0, first,
                               static_cast<std::int64_t>(values.size()), values.data());
      for (float& value : values) value *= static_cast<float>(tensor.deviation);
    }
    TITAN_RETURN_IF_ERROR(writer.write(values.data(), values.size() * sizeof(float)));
  }
  return ok_status();
}

}  // namespace

Status write_random_weights(const std::string& path, const std::vector<RandomTensor>& tensors,
                            std::uint64_t seed) {
  std::vector<TensorSpec> specs;
  for (const RandomTensor& tensor : tensors)
    specs.push_back({.name = tensor.name, .type = TensorType::kF32, .shape = tensor.shape});
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<SafetensorsWriter> writer,
                         SafetensorsWriter::create(path, specs, {{"format", "pt"}}));
  for (const RandomTensor& tensor : tensors)
    TITAN_RETURN_IF_ERROR(write_tensor(*writer, tensor, seed));
  return writer->finish().status();
}

}  // namespace titan
