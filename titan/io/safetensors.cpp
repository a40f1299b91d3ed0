#include "titan/io/safetensors.h"

#include <array>
#include <utility>

#include "titan/io/safetensors_header.h"

namespace titan {
namespace {

struct TypeRow {
  TensorType type;
  const char* name;
  std::size_t size_bytes;
};
constexpr std::array kTypes = {
    TypeRow{TensorType::kF64, "F64", 8},        TypeRow{TensorType::kF32, "F32", 4},
    TypeRow{TensorType::kF16, "F16", 2},        TypeRow{TensorType::kBF16, "BF16", 2},
    TypeRow{TensorType::kI64, "I64", 8},        TypeRow{TensorType::kI32, "I32", 4},
    TypeRow{TensorType::kI16, "I16", 2},        TypeRow{TensorType::kI8, "I8", 1},
    TypeRow{TensorType::kU64, "U64", 8},        TypeRow{TensorType::kU32, "U32", 4},
    TypeRow{TensorType::kU16, "U16", 2},        TypeRow{TensorType::kU8, "U8", 1},
    TypeRow{TensorType::kBool, "BOOL", 1},      TypeRow{TensorType::kF8E4M3, "F8_E4M3", 1},
    TypeRow{TensorType::kF8E5M2, "F8_E5M2", 1},
};

const TypeRow& row_of(TensorType type) {
  for (const TypeRow& row : kTypes)
    if (row.type == type) return row;
  detail::fail_check(__FILE__, __LINE__, "known type", "[safetensors] not a type");
}

std::uint64_t little_endian_64(const std::byte* data) {
  std::uint64_t value = 0;
  for (int i = 7; i >= 0; --i) value = value << 8 | std::to_integer<std::uint64_t>(data[i]);
  return value;
}

}  // namespace

std::string name_of(TensorType type) { return row_of(type).name; }
std::size_t element_size(TensorType type) { return row_of(type).size_bytes; }

StatusOr<TensorType> tensor_type_from_name(const std::string& name) {
  for (const TypeRow& row : kTypes)
    if (name == row.name) return row.type;
  return data_loss("[safetensors] unknown dtype '", name.substr(0, 40), "'");
}

StatusOr<SafetensorsFile> SafetensorsFile::open(const std::string& path,
                                                MappedFile::Access access) {
  SafetensorsFile result;
  TITAN_ASSIGN_OR_RETURN(result.file_, MappedFile::open(path, access));
  const auto refuse = [&](const std::string& why) {
    return data_loss("[safetensors] ", path, ": ", why);
  };
  const std::span<const std::byte> bytes = result.file_.bytes();
  constexpr std::size_t kLengthBytes = 8;
  constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
  if (bytes.size() < kLengthBytes)
    return refuse(str_cat("too short for a header (", bytes.size(), " bytes)"));
  const std::uint64_t header_bytes = little_endian_64(bytes.data());
  if (header_bytes > kMaxHeaderBytes || header_bytes > bytes.size() - kLengthBytes)
    return refuse(str_cat("header length does not fit (header ", header_bytes, " bytes, file ",
                          bytes.size(), " bytes): truncated, or not a safetensors file"));
  const std::uint64_t data_begin = kLengthBytes + header_bytes;
  StatusOr<SafetensorsHeader> header =
      parse_safetensors_header(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes,
                               header_bytes, bytes.size() - data_begin);
  if (!header.ok()) return refuse(message_of(header.status()));
  result.entries_ = std::move(header->entries);
  result.metadata_ = std::move(header->metadata);
  for (std::size_t i = 0; i < result.entries_.size(); ++i) {
    TensorEntry& entry = result.entries_[i];
    entry.offset += data_begin;
    entry.data = bytes.data() + entry.offset;
    result.index_.emplace(entry.name, i);
  }
  return result;
}

const TensorEntry* SafetensorsFile::find(const std::string& name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &entries_[found->second];
}

StatusOr<std::unique_ptr<SafetensorsWriter>> SafetensorsWriter::create(
    const std::string& path, const std::vector<TensorSpec>& specs,
    const std::map<std::string, std::string>& metadata) {
  std::uint64_t data_bytes = 0;
  TITAN_ASSIGN_OR_RETURN(const std::string header,
                         render_safetensors_header(specs, metadata, &data_bytes));
  TITAN_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::create(path));
  std::unique_ptr<SafetensorsWriter> writer(new SafetensorsWriter(std::move(file)));
  writer->remaining_ = header.size();
  TITAN_RETURN_IF_ERROR(writer->write(header.data(), header.size()));
  writer->remaining_ = data_bytes;
  return writer;
}

Status SafetensorsWriter::write(const void* data, std::size_t size_bytes) {
  TITAN_CHECK(size_bytes <= remaining_, "[safetensors] more bytes than the header announced (",
              file_.path(), ", left ", remaining_, ", given ", size_bytes, ")");
  TITAN_RETURN_IF_ERROR(file_.write(data, size_bytes));
  hash_.update(data, size_bytes);
  remaining_ -= size_bytes;
  return ok_status();
}

StatusOr<std::string> SafetensorsWriter::finish() {
  TITAN_CHECK(remaining_ == 0, "[safetensors] fewer bytes than the header announced (",
              file_.path(), ", missing ", remaining_, ")");
  TITAN_RETURN_IF_ERROR(file_.commit());
  return hash_.hex();
}

}  // namespace titan
