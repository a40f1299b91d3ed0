// A NumPy array, and its values in C order.
#include <vector>

#include "tests/fuzz/fuzz_target.h"
#include "titan/io/npy.h"

TITAN_FUZZ_INPUT(npy) {
  using namespace titan;
  const std::span<const std::byte> blob(reinterpret_cast<const std::byte*>(data), size);
  const StatusOr<NpyHeader> header = parse_npy(blob);
  if (!header.ok()) return 0;
  TITAN_FUZZ_CHECK(header->data_offset <= size && header->data_bytes <= size - header->data_offset);
  std::vector<std::byte> values(header->data_bytes);
  if (header->fortran_order) {
    npy_to_c_order(*header, blob.data() + header->data_offset, values.data());
    return 0;
  }
  // What we write for it reads as the same array.
  const std::string head = render_npy_header(header->type, header->shape);
  std::string again = head;
  again.append(reinterpret_cast<const char*>(data) + header->data_offset, header->data_bytes);
  const StatusOr<NpyHeader> read =
      parse_npy({reinterpret_cast<const std::byte*>(again.data()), again.size()});
  TITAN_FUZZ_CHECK(read.ok() && read->shape == header->shape && read->type == header->type);
  return 0;
}
