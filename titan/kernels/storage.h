// kernels: arithmetic on raw pointers and sizes (and a stream on a GPU). No torch, no logging;
// nothing allocates that scales with the tensors, nothing synchronises. Sums are taken in a fixed
// order, whatever the number of threads.
//
// storage.h: element types as kernels see them.
#pragma once

/// Marks what device code calls too.
#if defined(__CUDACC__)
#define TITAN_HOST_DEVICE __host__ __device__
#else
#define TITAN_HOST_DEVICE
#endif

namespace titan::kernels {

/// How elements lie in memory; arithmetic and statistics are float32 for both.
enum class StorageType { kFloat32, kBFloat16 };

}  // namespace titan::kernels
