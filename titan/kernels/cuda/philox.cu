#include <cuda_runtime.h>

#include "titan/base/philox.h"
#include "titan/kernels/philox.h"

namespace titan::kernels {
namespace {

constexpr int kThreads = 256;

// One thread draws one block of four words and writes up to four elements.
template <RandomField field>
__global__ void fill(std::uint64_t key, const std::int64_t* sample, const std::int64_t* epoch,
                     std::int64_t elements, std::int64_t blocks_per_sample, std::int64_t num_blocks,
                     float* out) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
       i < num_blocks; i += stride) {
    const std::int64_t row = i / blocks_per_sample;
    const std::int64_t block = i - row * blocks_per_sample;
    const PhiloxBlock bits =
        philox4x32(key, static_cast<std::uint32_t>(block), static_cast<std::uint64_t>(sample[row]),
                   static_cast<std::uint32_t>(epoch[row]));
    float value[4];
    if constexpr (field == RandomField::kNormal) {
      normal_pair(bits.word[0], bits.word[1], &value[0], &value[1]);
      normal_pair(bits.word[2], bits.word[3], &value[2], &value[3]);
    } else {
      for (int w = 0; w < 4; ++w) value[w] = uniform_from_bits(bits.word[w]);
    }
    float* const row_out = out + row * elements;
    const std::int64_t first = 4 * block;
    for (int w = 0; w < 4; ++w)
      if (first + w < elements) row_out[first + w] = value[w];
  }
}

}  // namespace

void philox_fill_cuda(RandomField field, std::uint64_t key, const std::int64_t* sample,
                      const std::int64_t* epoch, std::int64_t num_samples, std::int64_t elements,
                      float* out, CUstream_st* stream) {
  const std::int64_t blocks_per_sample = (elements + 3) / 4;
  const std::int64_t num_blocks = num_samples * blocks_per_sample;
  if (num_blocks == 0) return;
  const std::int64_t wanted = (num_blocks + kThreads - 1) / kThreads;
  const auto grid = static_cast<unsigned>(wanted < 65535 * 16 ? wanted : 65535 * 16);
  if (field == RandomField::kNormal) {
    fill<RandomField::kNormal><<<grid, kThreads, 0, stream>>>(key, sample, epoch, elements,
                                                              blocks_per_sample, num_blocks, out);
  } else {
    fill<RandomField::kUniform><<<grid, kThreads, 0, stream>>>(key, sample, epoch, elements,
                                                               blocks_per_sample, num_blocks, out);
  }
}

}  // namespace titan::kernels
