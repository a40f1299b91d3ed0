// npy.h: NumPy's array format
// (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html): magic, version, a
// Python dictionary {'descr', 'fortran_order', 'shape'}, then the values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan {

/// What an array is and where its values lie within its blob.
struct NpyHeader {
  std::string type;  ///< NumPy's name: "<u2", "<f4"; never an object or a record type
  bool fortran_order = false;
  std::vector<int64_t> shape;
  std::size_t element_bytes = 0;
  std::size_t data_offset = 0;  ///< of the first value
  std::size_t data_bytes = 0;   ///< of all values; they lie within the blob

  bool operator==(const NpyHeader&) const = default;
};

/// Parses the header of a whole blob of version 1.0, 2.0 or 3.0. Bytes after the values are
/// ignored, as NumPy does. Errors (kDataLoss): wrong magic or version, a malformed dictionary,
/// pickled objects, a shape that overflows or has more than 8 dimensions, fewer values than
/// announced.
StatusOr<NpyHeader> parse_npy(std::span<const std::byte> blob);

/// The bytes in front of the values, version 1.0, padded to a multiple of 64 like NumPy's.
std::string render_npy_header(const std::string& type, const std::vector<int64_t>& shape);

/// Copies Fortran-ordered values into C order. `from` and `to` hold header.data_bytes.
void npy_to_c_order(const NpyHeader& header, const std::byte* from, std::byte* to);

}  // namespace titan
