// An Arrow stream as save_to_disk writes it: every value of every column.
#include <algorithm>

#include "tests/fuzz/fuzz_target.h"
#include "titan/io/arrow_stream.h"

TITAN_FUZZ_INPUT(arrow) {
  using namespace titan;
  static fuzz::MemoryFile file;
  const StatusOr<ArrowStreamFile> stream = ArrowStreamFile::open(file.fill(data, size));
  if (!stream.ok()) return 0;
  fuzz::touch(stream->column_names());
  constexpr int64_t kMostRows = 64;  // a column of nulls may claim 2^57 rows and costs no byte
  const int64_t rows = stream->num_rows();
  for (std::size_t i = 0; i < stream->fields().size(); ++i) {
    const ArrowField& field = stream->fields()[i];
    const int column = static_cast<int>(i);
    for (int64_t k = 0; k < std::min(rows, kMostRows); ++k) {
      const int64_t row = k % 2 == 0 ? k / 2 : rows - 1 - k / 2;
      if (field.kind == ArrowKind::kBytes || field.kind == ArrowKind::kText) {
        const auto bytes = stream->bytes(column, row);
        if (!bytes.ok() || !bytes->has_value()) continue;
        TITAN_FUZZ_CHECK((*bytes)->size() <= size);
        fuzz::touch((*bytes)->data(), (*bytes)->size());
      } else if (field.kind == ArrowKind::kInteger || field.kind == ArrowKind::kNull) {
        (void)stream->integer(column, row);
      }
    }
  }
  return 0;
}
