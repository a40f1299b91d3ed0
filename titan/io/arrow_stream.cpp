#include "titan/io/arrow_stream.h"

#include "titan/io/unaligned.h"

namespace titan {
namespace {

bool has_null(const std::byte* validity, int64_t row) {
  return validity != nullptr &&
         (std::to_integer<unsigned>(validity[row / 8]) >> (row % 8) & 1U) == 0;
}

}  // namespace

std::string ArrowStreamFile::column_names() const {
  std::string names;
  for (const ArrowField& field : fields_)
    if (field.parent < 0) names += (names.empty() ? "" : ", ") + field.name;
  return names;
}

int ArrowStreamFile::find(int parent, std::string_view name) const {
  int found = -1;
  for (std::size_t i = 0; i < fields_.size(); ++i) {
    if (fields_[i].parent != parent || fields_[i].name != name) continue;
    if (found >= 0) return -1;
    found = static_cast<int>(i);
  }
  return found;
}

ArrowStreamFile::Place ArrowStreamFile::place(int column, int64_t row) const {
  TITAN_CHECK(column >= 0 && static_cast<std::size_t>(column) < fields_.size(),
              "[arrow] no such column (", column, ")");
  const auto [batch, row_of_batch] = batches_.find(row);
  return {&columns_[batch * fields_.size() + static_cast<std::size_t>(column)], row_of_batch};
}

bool ArrowStreamFile::is_null(int column, int64_t row) const {
  for (; column >= 0; column = fields_[static_cast<std::size_t>(column)].parent) {
    const Place at = place(column, row);
    if (at.column->all_null || has_null(at.column->validity, at.row)) return true;
  }
  return false;
}

StatusOr<std::optional<std::span<const std::byte>>> ArrowStreamFile::bytes(int column,
                                                                           int64_t row) const {
  const Place place = this->place(column, row);
  const ArrowField& field = fields_[static_cast<std::size_t>(column)];
  if (is_null(column, row)) return std::nullopt;
  TITAN_CHECK(field.kind == ArrowKind::kBytes || field.kind == ArrowKind::kText,
              "[arrow] not a column of bytes (", field.name, ": ", field.type, ")");
  const int width = widths_[static_cast<std::size_t>(column)];
  const std::byte* at = place.column->offsets.data() + place.row * width;
  const int64_t begin =
      width == 4 ? load_unaligned<std::int32_t>(at) : load_unaligned<std::int64_t>(at);
  const int64_t end = width == 4 ? load_unaligned<std::int32_t>(at + width)
                                 : load_unaligned<std::int64_t>(at + width);
  const auto size = static_cast<int64_t>(place.column->data.size());
  if (begin < 0 || end < begin || end > size)
    return data_loss("[arrow] ", path(), " row ", row, ", column '", field.name,
                     "': offsets out of range (", begin, " to ", end, " of ", size, ")");
  return place.column->data.subspan(static_cast<std::size_t>(begin),
                                    static_cast<std::size_t>(end - begin));
}

StatusOr<std::optional<int64_t>> ArrowStreamFile::integer(int column, int64_t row) const {
  const Place place = this->place(column, row);
  const auto field = static_cast<std::size_t>(column);
  if (is_null(column, row)) return std::nullopt;
  TITAN_CHECK(fields_[field].kind == ArrowKind::kInteger, "[arrow] not a column of integers (",
              fields_[field].name, ": ", fields_[field].type, ")");
  const std::byte* at = place.column->data.data() + place.row * widths_[field];
  switch (widths_[field]) {
    case 1:
      return unsigned_[field] ? load_unaligned<std::uint8_t>(at) : load_unaligned<std::int8_t>(at);
    case 2:
      return unsigned_[field] ? load_unaligned<std::uint16_t>(at)
                              : load_unaligned<std::int16_t>(at);
    case 4:
      return unsigned_[field] ? static_cast<int64_t>(load_unaligned<std::uint32_t>(at))
                              : load_unaligned<std::int32_t>(at);
    default:
      return load_unaligned<std::int64_t>(at);
  }
}

void ArrowStreamFile::prefetch(std::span<const std::byte> range) const {
  file_.prefetch(static_cast<std::size_t>(range.data() - file_.data()), range.size());
}

Status ArrowStreamFile::populate(std::span<const std::byte> range) const {
  return file_.populate(static_cast<std::size_t>(range.data() - file_.data()), range.size());
}

}  // namespace titan
