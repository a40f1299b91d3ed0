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
      break;
  }
  return NANOARROW_TYPE_INT32;
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

  Status start_schema(const std::vector<ArrowColumnSpec>& columns,
                      const std::map<std::string, std::string>& metadata) {
    ArrowSchemaInit(&schema);
    TITAN_RETURN_IF_ERROR(
        check(ArrowSchemaSetTypeStruct(&schema, static_cast<int64_t>(columns.size())), "describe"));
    for (std::size_t i = 0; i < columns.size(); ++i) {
      ArrowSchema* child = schema.children[i];
      TITAN_RETURN_IF_ERROR(check(ArrowSchemaSetType(child, type_of(columns[i].type)), "describe"));
      TITAN_RETURN_IF_ERROR(check(ArrowSchemaSetName(child, columns[i].name.c_str()), "describe"));
    }
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
    return check(ArrowArrayStartAppending(&array), "make a batch of");
  }

  AtomicFile file;
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
  TITAN_RETURN_IF_ERROR(state->start_schema(columns, metadata));
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
  TITAN_CHECK(static_cast<int64_t>(row.size()) == state_->array.n_children,
              "[arrow] one value a column (", row.size(), ", ", state_->array.n_children, ")");
  for (std::size_t i = 0; i < row.size(); ++i) {
    ArrowArray* child = state_->array.children[i];
    int code = NANOARROW_OK;
    if (const auto* bytes = std::get_if<std::span<const std::byte>>(&row[i])) {
      code = ArrowArrayAppendBytes(child, {{bytes->data()}, static_cast<int64_t>(bytes->size())});
    } else if (const auto* number = std::get_if<std::int32_t>(&row[i])) {
      code = ArrowArrayAppendInt(child, *number);
    } else {
      code = ArrowArrayAppendNull(child, 1);
    }
    TITAN_RETURN_IF_ERROR(state_->check(code, "append to"));
  }
  ++state_->rows;
  return state_->check(ArrowArrayFinishElement(&state_->array), "append to");
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
