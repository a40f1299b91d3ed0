#include "titan/io/arrow_writer.h"

#include <nanoarrow/nanoarrow.h>
#include <nanoarrow/nanoarrow_ipc.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "titan/io/atomic_file.h"

namespace titan {
namespace {

ArrowType type_of(ArrowColumnSpec::Type type) {
  switch (type) {
    case ArrowColumnSpec::Type::kBinary:
      return NANOARROW_TYPE_BINARY;
    case ArrowColumnSpec::Type::kString:
      return NANOARROW_TYPE_STRING;
    case ArrowColumnSpec::Type::kInt32:
      return NANOARROW_TYPE_INT32;
    case ArrowColumnSpec::Type::kInt64:
      return NANOARROW_TYPE_INT64;
    case ArrowColumnSpec::Type::kDouble:
      return NANOARROW_TYPE_DOUBLE;
    case ArrowColumnSpec::Type::kBool:
      return NANOARROW_TYPE_BOOL;
    case ArrowColumnSpec::Type::kNull:
      return NANOARROW_TYPE_NA;
    case ArrowColumnSpec::Type::kStruct:
      break;
  }
  return NANOARROW_TYPE_STRUCT;
}

/// Makes `schema` a struct of these columns; nanoarrow's code.
int describe(ArrowSchema* schema, const std::vector<ArrowColumnSpec>& columns) {
  int code = ArrowSchemaSetTypeStruct(schema, static_cast<int64_t>(columns.size()));
  for (std::size_t i = 0; i < columns.size() && code == NANOARROW_OK; ++i) {
    ArrowSchema* child = schema->children[i];
    code = columns[i].type == ArrowColumnSpec::Type::kStruct
               ? describe(child, columns[i].fields)
               : ArrowSchemaSetType(child, type_of(columns[i].type));
    if (code == NANOARROW_OK) code = ArrowSchemaSetName(child, columns[i].name.c_str());
  }
  return code;
}

/// The columns that take a value: a struct stands for its fields.
void list_leaves(ArrowArray* array, const std::vector<ArrowColumnSpec>& columns,
                 std::vector<ArrowArray*>& leaves, std::vector<ArrowArray*>& structs) {
  for (std::size_t i = 0; i < columns.size(); ++i) {
    ArrowArray* child = array->children[i];
    if (columns[i].type == ArrowColumnSpec::Type::kStruct) {
      list_leaves(child, columns[i].fields, leaves, structs);
      structs.push_back(child);  // behind the structs inside it: inner elements end first
    } else {
      leaves.push_back(child);
    }
  }
}

int append_value(ArrowArray* array, const ArrowValue& value) {
  if (const auto* bytes = std::get_if<std::span<const std::byte>>(&value))
    return ArrowArrayAppendBytes(array, {{bytes->data()}, static_cast<int64_t>(bytes->size())});
  if (const auto* number = std::get_if<std::int32_t>(&value))
    return ArrowArrayAppendInt(array, *number);
  if (const auto* number = std::get_if<std::int64_t>(&value))
    return ArrowArrayAppendInt(array, *number);
  if (const auto* number = std::get_if<double>(&value))
    return ArrowArrayAppendDouble(array, *number);
  return ArrowArrayAppendNull(array, 1);
}

}  // namespace

struct ArrowStreamWriter::State {
  explicit State(AtomicFile atomic) : file(std::move(atomic)) {}
  ~State() {
    if (array.release != nullptr) ArrowArrayRelease(&array);
    ArrowArrayViewReset(&view);
    if (schema.release != nullptr) ArrowSchemaRelease(&schema);
    if (writer.private_data != nullptr) ArrowIpcWriterReset(&writer);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  /// nanoarrow's result as ours: a failed write has left its own status.
  Status check(int code, const char* action) const {
    if (code == NANOARROW_OK) return ok_status();
    if (!write_status.ok()) return write_status;
    // Most of nanoarrow's functions give an errno without a text.
    const std::string why =
        error.message[0] != '\0' ? error.message : std::generic_category().message(code);
    return internal_error("[arrow] cannot ", action, " ", file.path(), ": ", why);
  }

  static ArrowErrorCode write(ArrowIpcOutputStream* stream, const void* data, int64_t size,
                              int64_t* written, ArrowError* error) {
    auto* state = static_cast<State*>(stream->private_data);
    state->write_status = state->file.write(data, static_cast<std::size_t>(size));
    *written = state->write_status.ok() ? size : 0;
    if (state->write_status.ok()) return NANOARROW_OK;
    ArrowErrorSet(error, "%s", message_of(state->write_status).c_str());
    return EIO;
  }

  Status start_schema(const std::map<std::string, std::string>& metadata) {
    ArrowSchemaInit(&schema);
    TITAN_RETURN_IF_ERROR(check(describe(&schema, columns), "describe"));
    ArrowBuffer packed{};
    int code = ArrowMetadataBuilderInit(&packed, nullptr);
    for (const auto& [key, value] : metadata)
      if (code == NANOARROW_OK)
        code = ArrowMetadataBuilderAppend(&packed, ArrowCharView(key.c_str()),
                                          ArrowCharView(value.c_str()));
    if (code == NANOARROW_OK && !metadata.empty())
      code = ArrowSchemaSetMetadata(&schema, reinterpret_cast<const char*>(packed.data));
    ArrowBufferReset(&packed);
    return check(code, "describe");
  }

  Status start_batch() {
    if (array.release != nullptr) ArrowArrayRelease(&array);
    TITAN_RETURN_IF_ERROR(
        check(ArrowArrayInitFromSchema(&array, &schema, &error), "make a batch of"));
    leaves.clear();
    structs.clear();
    list_leaves(&array, columns, leaves, structs);
    return check(ArrowArrayStartAppending(&array), "make a batch of");
  }

  AtomicFile file;
  std::vector<ArrowColumnSpec> columns;
  std::vector<ArrowArray*> leaves, structs;  ///< within `array`
  ArrowSchema schema{};
  ArrowArray array{};
  ArrowArrayView view{};
  ArrowIpcWriter writer{};
  ArrowError error{};
  Status write_status;
  int64_t rows = 0;
};

ArrowStreamWriter::ArrowStreamWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
ArrowStreamWriter::~ArrowStreamWriter() = default;
ArrowStreamWriter::ArrowStreamWriter(ArrowStreamWriter&&) noexcept = default;

StatusOr<ArrowStreamWriter> ArrowStreamWriter::create(
    const std::string& path, const std::vector<ArrowColumnSpec>& columns,
    const std::map<std::string, std::string>& metadata) {
  TITAN_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::create(path));
  auto state = std::make_unique<State>(std::move(file));
  state->columns = columns;
  TITAN_RETURN_IF_ERROR(state->start_schema(metadata));
  ArrowIpcOutputStream stream{.write = &State::write,
                              .release = [](ArrowIpcOutputStream* s) { s->release = nullptr; },
                              .private_data = state.get()};
  TITAN_RETURN_IF_ERROR(state->check(ArrowIpcWriterInit(&state->writer, &stream), "start"));
  TITAN_RETURN_IF_ERROR(state->check(
      ArrowIpcWriterWriteSchema(&state->writer, &state->schema, &state->error), "write"));
  TITAN_RETURN_IF_ERROR(state->check(
      ArrowArrayViewInitFromSchema(&state->view, &state->schema, &state->error), "start"));
  TITAN_RETURN_IF_ERROR(state->start_batch());
  return ArrowStreamWriter(std::move(state));
}

Status ArrowStreamWriter::append(const std::vector<ArrowValue>& row) {
  State& s = *state_;
  TITAN_CHECK(row.size() == s.leaves.size(), "[arrow] one value a column (", row.size(), ", ",
              s.leaves.size(), ")");
  for (std::size_t i = 0; i < row.size(); ++i)
    TITAN_RETURN_IF_ERROR(s.check(append_value(s.leaves[i], row[i]), "append to"));
  for (ArrowArray* array : s.structs)
    TITAN_RETURN_IF_ERROR(s.check(ArrowArrayFinishElement(array), "append to"));
  ++s.rows;
  return s.check(ArrowArrayFinishElement(&s.array), "append to");
}

Status ArrowStreamWriter::flush() {
  State& s = *state_;
  if (s.rows == 0) return ok_status();
  TITAN_RETURN_IF_ERROR(
      s.check(ArrowArrayFinishBuildingDefault(&s.array, &s.error), "finish a batch of"));
  TITAN_RETURN_IF_ERROR(
      s.check(ArrowArrayViewSetArray(&s.view, &s.array, &s.error), "finish a batch of"));
  TITAN_RETURN_IF_ERROR(
      s.check(ArrowIpcWriterWriteArrayView(&s.writer, &s.view, &s.error), "write"));
  s.rows = 0;
  return s.start_batch();
}

Status ArrowStreamWriter::finish() {
  TITAN_RETURN_IF_ERROR(flush());
  TITAN_RETURN_IF_ERROR(state_->check(
      ArrowIpcWriterWriteArrayView(&state_->writer, nullptr, &state_->error), "write"));
  return state_->file.commit();
}

}  // namespace titan
