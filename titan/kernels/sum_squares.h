// sum_squares.h: the sum of squares of a flat buffer, in float64, in an order that depends on its
// length alone. Reads each element once: 4 or 2 bytes.
#pragma once

#include <cstdint>

#include "titan/kernels/storage.h"

struct CUstream_st;

namespace titan::kernels {

/// Partial sums of one buffer on a GPU: so many blocks share it, however long it is.
inline constexpr std::int64_t kSumSquaresPartials = 1024;

/// Sum over data[0, count). Chunks of fixed size are added up in order: the same bits on any number
/// of threads and for every instruction set. May throw std::bad_alloc.
double sum_squares_cpu(StorageType storage, const void* data, std::int64_t count);

/// Writes partials[0, kSumSquaresPartials) on the device; enqueues one kernel.
void sum_squares_cuda(StorageType storage, const void* data, std::int64_t count, double* partials,
                      CUstream_st* stream);
/// total[0] = partials[0, count), added up in a fixed order; enqueues one kernel.
void sum_partials_cuda(const double* partials, std::int64_t count, double* total,
                       CUstream_st* stream);

}  // namespace titan::kernels
