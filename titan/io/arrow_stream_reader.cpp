// Opens an Arrow stream: walks its messages and notes where the buffers of each column lie.
#include <nanoarrow/nanoarrow.h>
#include <nanoarrow/nanoarrow_ipc.h>

#include <cstring>
#include <limits>
#include <utility>

#include "titan/io/arrow_kinds.h"
#include "titan/io/arrow_message.h"
#include "titan/io/arrow_stream.h"
#include "titan/io/unaligned.h"

namespace titan {
namespace {

constexpr std::uint32_t kContinuation = 0xFFFFFFFF;
constexpr std::size_t kPrefixBytes = 8;  // continuation mark and length of the header
// A kNull column needs no buffer, so nothing else bounds the number of rows.
constexpr int64_t kMaxRows = std::numeric_limits<int64_t>::max() / 64;

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

  /// Of the header that was verified last: any byte that the file holds, also where the enumeration
  /// has no such value.
  unsigned message_type() const {
    unsigned type = 0;
    static_assert(sizeof(decoder.ipc.message_type) == sizeof(type));
    std::memcpy(&type, &decoder.ipc.message_type, sizeof(type));
    return type;
  }

  Status read_message() {
    if (bytes.size() - at < kPrefixBytes)
      return cut(str_cat(bytes.size() - at, " bytes after the last message"));
    const auto mark = load_unaligned<std::uint32_t>(bytes.data() + at);
    if (mark != kContinuation)
      return refuse(str_cat("is no Arrow stream (no message at byte ", at, ")"));
    const auto header_bytes = load_unaligned<std::int32_t>(bytes.data() + at + 4);
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
    // nanoarrow would count its columns against those of no schema.
    if (!has_schema && message_type() == NANOARROW_IPC_MESSAGE_TYPE_RECORD_BATCH)
      return refuse("has a record batch in front of its schema");
    if (ArrowIpcDecoderDecodeHeader(&decoder.ipc, message, &decoder.error) != NANOARROW_OK)
      return refuse(str_cat("has a damaged message at byte ", at, " (", said(), ")"));
    const int64_t body_bytes = decoder.ipc.body_size_bytes;
    const std::size_t body_left = left - static_cast<std::size_t>(header_bytes);
    if (body_bytes < 0 || static_cast<std::uint64_t>(body_bytes) > body_left)
      return cut(str_cat("record batch ", out.batches_.size(), " needs ", body_bytes, " bytes, ",
                         body_left, " are left"));
    const std::byte* body = bytes.data() + at + kPrefixBytes + header_bytes;
    at += kPrefixBytes + static_cast<std::size_t>(header_bytes) +
          static_cast<std::size_t>(body_bytes);
    switch (message_type()) {
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
    TITAN_RETURN_IF_ERROR(read_fields(decoder.schema, -1));
    has_schema = true;
    return ok_status();
  }

  /// The children of `schema`, depth first. The verifier has bounded the depth.
  Status read_fields(const ArrowSchema& schema, int parent) {
    for (int64_t i = 0; i < schema.n_children; ++i) {
      const ArrowSchema* child = schema.children[i];
      ArrowSchemaView view;
      if (ArrowSchemaViewInit(&view, child, &decoder.error) != NANOARROW_OK)
        return refuse(str_cat("has a damaged schema (", said(), ")"));
      const ArrowFieldKind kind = arrow_kind_of(view.type);
      const auto index = static_cast<int>(out.fields_.size());
      out.fields_.push_back({.name = child->name == nullptr ? "" : child->name,
                             .kind = kind.kind,
                             .type = ArrowTypeString(view.type),
                             .parent = parent});
      out.widths_.push_back(kind.width);
      out.unsigned_.push_back(kind.is_unsigned);
      if (kind.kind == ArrowKind::kStruct) TITAN_RETURN_IF_ERROR(read_fields(*child, index));
    }
    return ok_status();
  }

  Status read_batch(std::span<const std::byte> body) {
    const std::size_t batch = out.batches_.size();
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
    if (rows < 0 || rows > kMaxRows - out.num_rows())
      return refuse(str_cat("record batch ", batch, " claims ", rows, " rows"));
    std::size_t field = 0;
    TITAN_RETURN_IF_ERROR(read_columns(*view, rows, body, field));
    TITAN_CHECK(out.batches_.add(rows), "[arrow] too many rows");  // not beyond kMaxRows
    return ok_status();
  }

  /// The children of `view` in the order of read_fields; `field` is the next one's index.
  Status read_columns(const ArrowArrayView& view, int64_t rows, std::span<const std::byte> body,
                      std::size_t& field) {
    for (int64_t i = 0; i < view.n_children; ++i) {
      const ArrowArrayView& child = *view.children[i];
      const ArrowField& own = out.fields_[field];
      StatusOr<Column> column = read_column(field++, child, rows, body);
      if (!column.ok())
        return refuse(str_cat("record batch ", out.batches_.size(), ", column '", own.name,
                              "': ", message_of(column.status())));
      out.columns_.push_back(*column);
      if (own.kind == ArrowKind::kStruct)
        TITAN_RETURN_IF_ERROR(read_columns(child, rows, body, field));
    }
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
    if (kind == ArrowKind::kStruct) return column;
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

}  // namespace titan
