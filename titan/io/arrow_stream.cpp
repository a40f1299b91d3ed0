#include "titan/io/arrow_stream.h"

#include <nanoarrow/nanoarrow.h>
#include <nanoarrow/nanoarrow_ipc.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "titan/io/arrow_message.h"

namespace titan {
namespace {

static_assert(std::endian::native == std::endian::little, "Arrow files are read in place");

constexpr std::uint32_t kContinuation = 0xFFFFFFFF;
constexpr std::size_t kPrefixBytes = 8;  // continuation mark and length of the header

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

struct FieldKind {
  ArrowKind kind = ArrowKind::kOther;
  int width = 0;  ///< bytes of an offset or an integer
  bool is_unsigned = false;
};

FieldKind kind_of(ArrowType type) {
  switch (type) {
    case NANOARROW_TYPE_NA:
      return {ArrowKind::kNull};
    case NANOARROW_TYPE_BINARY:
      return {ArrowKind::kBytes, 4};
    case NANOARROW_TYPE_LARGE_BINARY:
      return {ArrowKind::kBytes, 8};
    case NANOARROW_TYPE_STRING:
      return {ArrowKind::kText, 4};
    case NANOARROW_TYPE_LARGE_STRING:
      return {ArrowKind::kText, 8};
    case NANOARROW_TYPE_INT8:
      return {ArrowKind::kInteger, 1};
    case NANOARROW_TYPE_INT16:
      return {ArrowKind::kInteger, 2};
    case NANOARROW_TYPE_INT32:
      return {ArrowKind::kInteger, 4};
    case NANOARROW_TYPE_INT64:
      return {ArrowKind::kInteger, 8};
    case NANOARROW_TYPE_UINT8:
      return {ArrowKind::kInteger, 1, true};
    case NANOARROW_TYPE_UINT16:
      return {ArrowKind::kInteger, 2, true};
    case NANOARROW_TYPE_UINT32:
      return {ArrowKind::kInteger, 4, true};
    default:
      return {};
  }
}

/// nanoarrow's C objects, released on every way out.
struct Decoder {
  ArrowIpcDecoder ipc{};
  ArrowSchema schema{};
  ArrowError error{};

  Decoder() { TITAN_CHECK(ArrowIpcDecoderInit(&ipc) == NANOARROW_OK, "[arrow] out of memory"); }
  ~Decoder() {
    ArrowIpcDecoderReset(&ipc);
    if (schema.release != nullptr) ArrowSchemaRelease(&schema);
  }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
};

bool has_dictionary(const ArrowSchema& schema, std::string& name) {
  if (schema.dictionary != nullptr) {
    name = schema.name == nullptr ? "" : schema.name;
    return true;
  }
  for (int64_t i = 0; i < schema.n_children; ++i)
    if (has_dictionary(*schema.children[i], name)) return true;
  return false;
}

}  // namespace

/// Walks the messages of one file.
struct ArrowStreamFile::Reader {
  ArrowStreamFile& out;
  std::span<const std::byte> bytes;
  std::size_t at = 0;
  Decoder decoder = {};
  bool has_schema = false;

  Status walk() {
    if (bytes.empty()) return refuse("is empty (0 bytes)");
    constexpr std::string_view kFileMagic = "ARROW1";
    if (bytes.size() >= kFileMagic.size() &&
        std::memcmp(bytes.data(), kFileMagic.data(), kFileMagic.size()) == 0)
      return unsupported(
          "is in Arrow's random-access file format; save_to_disk writes the "
          "streaming format");
    while (at < bytes.size() && !out.has_end_mark_) TITAN_RETURN_IF_ERROR(read_message());
    if (!has_schema) return refuse("has no schema message");
    return ok_status();
  }

  Status read_message() {
    if (bytes.size() - at < kPrefixBytes)
      return cut(str_cat(bytes.size() - at, " bytes after the last message"));
    const auto mark = load<std::uint32_t>(bytes.data() + at);
    if (mark != kContinuation)
      return refuse(str_cat("is no Arrow stream (no message at byte ", at, ")"));
    const auto header_bytes = load<std::int32_t>(bytes.data() + at + 4);
    if (header_bytes == 0) {
      out.has_end_mark_ = true;
      return ok_status();
    }
    const std::size_t left = bytes.size() - at - kPrefixBytes;
    if (header_bytes < 0 || static_cast<std::size_t>(header_bytes) > left)
      return cut(str_cat("a message header of ", header_bytes, " bytes at byte ", at, ", ", left,
                         " are left"));
    const ArrowBufferView message = {{bytes.data() + at},
                                     static_cast<int64_t>(kPrefixBytes) + header_bytes};
    if (ArrowIpcDecoderVerifyHeader(&decoder.ipc, message, &decoder.error) != NANOARROW_OK)
      return refuse(str_cat("has a damaged message at byte ", at, " (", said(), ")"));
    if (const char* fault = titan_arrow_message_fault(bytes.data() + at + kPrefixBytes))
      return refuse(str_cat("has a damaged message at byte ", at, " (", fault, ")"));
    if (ArrowIpcDecoderDecodeHeader(&decoder.ipc, message, &decoder.error) != NANOARROW_OK)
      return refuse(str_cat("has a damaged message at byte ", at, " (", said(), ")"));
    const int64_t body_bytes = decoder.ipc.body_size_bytes;
    const std::size_t body_left = left - static_cast<std::size_t>(header_bytes);
    if (body_bytes < 0 || static_cast<std::uint64_t>(body_bytes) > body_left)
      return cut(str_cat("record batch ", out.ends_.size(), " needs ", body_bytes, " bytes, ",
                         body_left, " are left"));
    const std::byte* body = bytes.data() + at + kPrefixBytes + header_bytes;
    at += kPrefixBytes + static_cast<std::size_t>(header_bytes) +
          static_cast<std::size_t>(body_bytes);
    switch (decoder.ipc.message_type) {
      case NANOARROW_IPC_MESSAGE_TYPE_SCHEMA:
        return read_schema();
      case NANOARROW_IPC_MESSAGE_TYPE_RECORD_BATCH:
        return read_batch({body, static_cast<std::size_t>(body_bytes)});
      default:
        return unsupported("holds a dictionary or tensor message");
    }
  }

  Status read_schema() {
    if (has_schema) return refuse("has two schemas");
    if (decoder.ipc.endianness == NANOARROW_IPC_ENDIANNESS_BIG) return unsupported("is big-endian");
    if (ArrowIpcDecoderDecodeSchema(&decoder.ipc, &decoder.schema, &decoder.error) != NANOARROW_OK)
      return refuse(str_cat("has a damaged schema (", said(), ")"));
    std::string name;
    if (has_dictionary(decoder.schema, name))
      return unsupported(str_cat("has a dictionary-encoded column ('", name, "')"));
    if (ArrowIpcDecoderSetSchema(&decoder.ipc, &decoder.schema, &decoder.error) != NANOARROW_OK)
      return refuse(str_cat("has a schema that cannot be used (", said(), ")"));
    for (int64_t i = 0; i < decoder.schema.n_children; ++i) {
      const ArrowSchema* child = decoder.schema.children[i];
      ArrowSchemaView view;
      if (ArrowSchemaViewInit(&view, child, &decoder.error) != NANOARROW_OK)
        return refuse(str_cat("has a damaged schema (", said(), ")"));
      const FieldKind kind = kind_of(view.type);
      out.fields_.push_back({.name = child->name == nullptr ? "" : child->name,
                             .kind = kind.kind,
                             .type = ArrowTypeString(view.type)});
      out.widths_.push_back(kind.width);
      out.unsigned_.push_back(kind.is_unsigned);
    }
    has_schema = true;
    return ok_status();
  }

  Status read_batch(std::span<const std::byte> body) {
    const std::size_t batch = out.ends_.size();
    if (!has_schema) return refuse("has a record batch in front of its schema");
    if (decoder.ipc.codec != NANOARROW_IPC_COMPRESSION_TYPE_NONE)
      return unsupported(
          str_cat("has ", decoder.ipc.codec == NANOARROW_IPC_COMPRESSION_TYPE_ZSTD ? "ZSTD" : "LZ4",
                  "-compressed record batches; load it with datasets and save it again"));
    ArrowArrayView* view = nullptr;
    const ArrowBufferView body_view = {{body.data()}, static_cast<int64_t>(body.size())};
    // -1: the whole batch. No value is touched; buffers become views of the body.
    if (ArrowIpcDecoderDecodeArrayView(&decoder.ipc, body_view, -1, &view, &decoder.error) !=
        NANOARROW_OK)
      return refuse(str_cat("record batch ", batch, " is damaged (", said(), ")"));
    const int64_t rows = view->length;
    int64_t end = 0;
    // A kNull column needs no buffer, so nothing else bounds the number of rows.
    if (rows < 0 || __builtin_add_overflow(out.num_rows(), rows, &end) ||
        end > std::numeric_limits<int64_t>::max() / 64)
      return refuse(str_cat("record batch ", batch, " claims ", rows, " rows"));
    for (std::size_t i = 0; i < out.fields_.size(); ++i) {
      StatusOr<Column> column = read_column(i, *view->children[i], rows, body);
      if (!column.ok())
        return refuse(str_cat("record batch ", batch, ", column '", out.fields_[i].name,
                              "': ", message_of(column.status())));
      out.columns_.push_back(*column);
    }
    out.ends_.push_back(end);
    return ok_status();
  }

  StatusOr<Column> read_column(std::size_t field, const ArrowArrayView& view, int64_t rows,
                               std::span<const std::byte> body) const {
    Column column;
    const ArrowKind kind = out.fields_[field].kind;
    if (kind == ArrowKind::kOther) return column;  // never read
    if (view.length != rows) return data_loss("has ", view.length, " rows, its batch ", rows);
    if (kind == ArrowKind::kNull) {
      column.all_null = true;
      return column;
    }
    const auto buffer = [&](int i) -> StatusOr<std::span<const std::byte>> {
      const ArrowBufferView& b = view.buffer_views[i];
      if (b.size_bytes == 0) return std::span<const std::byte>();
      // nanoarrow's own check wraps around with hostile offsets and lengths.
      const std::uintptr_t begin = reinterpret_cast<std::uintptr_t>(b.data.data),
                           base = reinterpret_cast<std::uintptr_t>(body.data());
      if (b.size_bytes < 0 || begin < base || begin - base > body.size() ||
          static_cast<std::uint64_t>(b.size_bytes) > body.size() - (begin - base))
        return data_loss("a buffer leaves the batch");
      return std::span(body.data() + (begin - base), static_cast<std::size_t>(b.size_bytes));
    };
    TITAN_ASSIGN_OR_RETURN(const std::span<const std::byte> validity, buffer(0));
    if (!validity.empty()) {
      if (static_cast<std::uint64_t>(rows) > 8 * static_cast<std::uint64_t>(validity.size()))
        return data_loss("the validity bits are too few");
      column.validity = validity.data();
    } else if (view.null_count > 0) {
      if (view.null_count != rows) return data_loss("says nulls and has no validity bits");
      column.all_null = true;
    }
    const auto width = static_cast<std::uint64_t>(out.widths_[field]);
    TITAN_ASSIGN_OR_RETURN(const std::span<const std::byte> first, buffer(1));
    const bool is_integer = kind == ArrowKind::kInteger;
    const std::uint64_t wanted =
        (static_cast<std::uint64_t>(rows) + (is_integer || rows == 0 ? 0 : 1)) * width;
    if (first.size() < wanted)
      return data_loss("a buffer is too short (", first.size(), " bytes, ", wanted, " needed)");
    if (is_integer) {
      column.data = first;
      return column;
    }
    column.offsets = first;
    TITAN_ASSIGN_OR_RETURN(column.data, buffer(2));
    return column;
  }

  std::string said() const { return decoder.error.message; }
  Status refuse(const std::string& why) const {
    return data_loss("[arrow] ", out.path(), " ", why);
  }
  Status cut(const std::string& why) const {
    return data_loss("[arrow] ", out.path(), " is cut short: ", why);
  }
  Status unsupported(const std::string& why) const {
    return invalid_argument("[arrow] ", out.path(), " ", why);
  }
};

StatusOr<ArrowStreamFile> ArrowStreamFile::open(const std::string& path) {
  ArrowStreamFile result;
  TITAN_ASSIGN_OR_RETURN(result.file_, MappedFile::open(path));
  Reader reader{.out = result, .bytes = result.file_.bytes()};
  TITAN_RETURN_IF_ERROR(reader.walk());
  return result;
}

int ArrowStreamFile::find(std::string_view column) const {
  int found = -1;
  for (std::size_t i = 0; i < fields_.size(); ++i) {
    if (fields_[i].name != column) continue;
    if (found >= 0) return -1;
    found = static_cast<int>(i);
  }
  return found;
}

ArrowStreamFile::Place ArrowStreamFile::find(int column, int64_t row) const {
  TITAN_CHECK(row >= 0 && row < num_rows(), "[arrow] row out of range (", row, " of ", num_rows(),
              ")");
  TITAN_CHECK(column >= 0 && static_cast<std::size_t>(column) < fields_.size(),
              "[arrow] no such column (", column, ")");
  const auto batch =
      static_cast<std::size_t>(std::upper_bound(ends_.begin(), ends_.end(), row) - ends_.begin());
  return {&columns_[batch * fields_.size() + static_cast<std::size_t>(column)],
          row - (batch == 0 ? 0 : ends_[batch - 1])};
}

namespace {

bool is_null(const std::byte* validity, int64_t row) {
  return validity != nullptr &&
         (std::to_integer<unsigned>(validity[row / 8]) >> (row % 8) & 1U) == 0;
}

}  // namespace

StatusOr<std::optional<std::span<const std::byte>>> ArrowStreamFile::bytes(int column,
                                                                           int64_t row) const {
  const Place place = find(column, row);
  const ArrowField& field = fields_[static_cast<std::size_t>(column)];
  if (field.kind == ArrowKind::kNull || place.column->all_null ||
      is_null(place.column->validity, place.row))
    return std::nullopt;
  TITAN_CHECK(field.kind == ArrowKind::kBytes || field.kind == ArrowKind::kText,
              "[arrow] not a column of bytes (", field.name, ": ", field.type, ")");
  const int width = widths_[static_cast<std::size_t>(column)];
  const std::byte* at = place.column->offsets.data() + place.row * width;
  const int64_t begin = width == 4 ? load<std::int32_t>(at) : load<std::int64_t>(at);
  const int64_t end = width == 4 ? load<std::int32_t>(at + width) : load<std::int64_t>(at + width);
  const auto size = static_cast<int64_t>(place.column->data.size());
  if (begin < 0 || end < begin || end > size)
    return data_loss("[arrow] ", path(), " row ", row, ", column '", field.name,
                     "': offsets out of range (", begin, " to ", end, " of ", size, ")");
  return place.column->data.subspan(static_cast<std::size_t>(begin),
                                    static_cast<std::size_t>(end - begin));
}

StatusOr<std::optional<int64_t>> ArrowStreamFile::integer(int column, int64_t row) const {
  const Place place = find(column, row);
  const auto field = static_cast<std::size_t>(column);
  if (fields_[field].kind == ArrowKind::kNull || place.column->all_null ||
      is_null(place.column->validity, place.row))
    return std::nullopt;
  TITAN_CHECK(fields_[field].kind == ArrowKind::kInteger, "[arrow] not a column of integers (",
              fields_[field].name, ": ", fields_[field].type, ")");
  const std::byte* at = place.column->data.data() + place.row * widths_[field];
  switch (widths_[field]) {
    case 1:
      return unsigned_[field] ? load<std::uint8_t>(at) : load<std::int8_t>(at);
    case 2:
      return unsigned_[field] ? load<std::uint16_t>(at) : load<std::int16_t>(at);
    case 4:
      return unsigned_[field] ? static_cast<int64_t>(load<std::uint32_t>(at))
                              : load<std::int32_t>(at);
    default:
      return load<std::int64_t>(at);
  }
}

void ArrowStreamFile::prefetch(std::span<const std::byte> range) const {
  file_.prefetch(static_cast<std::size_t>(range.data() - file_.data()), range.size());
}

Status ArrowStreamFile::populate(std::span<const std::byte> range) const {
  return file_.populate(static_cast<std::size_t>(range.data() - file_.data()), range.size());
}

}  // namespace titan
