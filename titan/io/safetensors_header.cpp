#include "titan/io/safetensors_header.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>

#include "titan/base/printable.h"

namespace titan {
namespace {

using Json = nlohmann::json;

/// One tensor's object as the parser has seen it so far.
struct RawEntry {
  std::string name;
  std::string type = {};
  std::vector<std::uint64_t> shape = {};
  std::vector<std::uint64_t> offsets = {};
  bool has_type = false;
  bool has_shape = false;
  bool has_offsets = false;
};

/// Reads the header as a stream of events, so that a hostile one (deep, huge, doubled keys) costs
/// nothing and is refused at the first byte that does not fit: {name: {dtype, shape: [..],
/// data_offsets: [..]}}.
class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  std::vector<RawEntry> entries;
  std::map<std::string, std::string> metadata;
  std::string problem;

  bool start_object(std::size_t /*elements*/) override {
    if (depth_ == 0 || (depth_ == 1 && !in_array_)) {
      ++depth_;
      if (depth_ == 2 && !in_metadata_) entries.push_back({.name = tensor_});
      return true;
    }
    return fail("an object where none belongs");
  }
  bool end_object() override {
    if (depth_ == 2 && !in_metadata_) {
      const RawEntry& entry = entries.back();
      if (!entry.has_type || !entry.has_shape || !entry.has_offsets)
        return fail("a tensor lacks dtype, shape or data_offsets");
    }
    if (depth_ == 2) in_metadata_ = false;
    --depth_;
    return true;
  }
  bool key(std::string& name) override {
    if (depth_ == 1) {
      tensor_ = name;
      in_metadata_ = name == "__metadata__";
      if (!names_.insert(name).second) return fail("a name that appears twice");
      return true;
    }
    field_ = name;
    if (in_metadata_) return true;
    RawEntry& entry = entries.back();
    bool* seen = field_ == "dtype"          ? &entry.has_type
                 : field_ == "shape"        ? &entry.has_shape
                 : field_ == "data_offsets" ? &entry.has_offsets
                                            : nullptr;
    if (seen == nullptr) return fail("an unknown field '" + printable(name) + "'");
    if (std::exchange(*seen, true)) return fail("field '" + name + "' twice");
    return true;
  }
  bool start_array(std::size_t /*elements*/) override {
    if (depth_ != 2 || in_metadata_ || in_array_ || field_ == "dtype")
      return fail("a list where none belongs");
    return in_array_ = true;
  }
  bool end_array() override {
    in_array_ = false;
    return true;
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (!in_array_) return fail("a number where none belongs");
    RawEntry& entry = entries.back();
    std::vector<std::uint64_t>& list = field_ == "shape" ? entry.shape : entry.offsets;
    constexpr std::size_t kMaxDims = 64;
    if (list.size() == kMaxDims) return fail("a list of more than 64 numbers");
    list.push_back(value);
    return true;
  }
  bool string(std::string& value) override {
    if (depth_ == 2 && in_metadata_) {
      if (!metadata.emplace(field_, value).second) return fail("a metadata key twice");
      return true;
    }
    if (depth_ != 2 || in_array_ || field_ != "dtype") return fail("a text where none belongs");
    entries.back().type = value;
    return true;
  }
  bool null() override { return fail("a null"); }
  bool boolean(bool /*value*/) override { return fail("a boolean"); }
  bool number_integer(number_integer_t /*value*/) override { return fail("a negative number"); }
  bool number_float(number_float_t /*value*/, const std::string& /*text*/) override {
    return fail("a number that is not an integer in range");
  }
  bool binary(binary_t& /*value*/) override { return fail("binary data"); }
  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const Json::exception& /*error*/) override {
    if (problem.empty()) problem = str_cat("not valid JSON at byte ", position);
    return false;
  }

 private:
  bool fail(const std::string& what) {
    problem = str_cat(what, tensor_.empty() ? "" : " (at '" + printable(tensor_) + "')");
    return false;
  }

  int depth_ = 0;
  bool in_array_ = false;
  bool in_metadata_ = false;
  std::string tensor_;
  std::string field_;
  std::unordered_set<std::string> names_;
};

StatusOr<TensorEntry> checked_entry(RawEntry& raw, std::uint64_t data_bytes) {
  const auto at = [&] { return str_cat(" (tensor '", printable(raw.name, 200), "')"); };
  TITAN_ASSIGN_OR_RETURN(const TensorType type, tensor_type_from_name(raw.type));
  TensorEntry entry{.name = std::move(raw.name), .type = type};
  raw.name = entry.name;
  for (const std::uint64_t size : raw.shape) {
    if (size > static_cast<std::uint64_t>(std::numeric_limits<int64_t>::max()))
      return data_loss("a size beyond 2^63", at());
    entry.shape.push_back(static_cast<int64_t>(size));
  }
  if (raw.offsets.size() != 2) return data_loss("data_offsets are not two numbers", at());
  const std::uint64_t begin = raw.offsets[0];
  const std::uint64_t end = raw.offsets[1];
  if (begin > end || end > data_bytes)
    return data_loss("data_offsets [", begin, ", ", end, "] do not lie in the ", data_bytes,
                     " bytes of data", at());
  StatusOr<std::uint64_t> size_bytes = tensor_size_bytes(type, entry.shape);
  if (!size_bytes.ok()) return data_loss(message_of(size_bytes.status()), at());
  if (*size_bytes != end - begin)
    return data_loss("data_offsets span ", end - begin, " bytes, dtype and shape need ",
                     *size_bytes, at());
  entry.offset = begin;
  entry.size_bytes = *size_bytes;
  return entry;
}

/// Every byte of data belongs to exactly one tensor.
Status check_tiling(const std::vector<TensorEntry>& sorted, std::uint64_t data_bytes) {
  std::uint64_t end = 0;
  for (const TensorEntry& entry : sorted) {
    if (entry.offset != end)
      return data_loss(entry.offset < end ? "tensors overlap" : "a gap between tensors",
                       " at byte ", std::min(entry.offset, end), " (tensor '",
                       printable(entry.name, 200), "')");
    end += entry.size_bytes;
  }
  if (end != data_bytes)
    return data_loss("the tensors end at byte ", end, ", the data at byte ", data_bytes);
  return ok_status();
}

}  // namespace

StatusOr<std::uint64_t> tensor_size_bytes(TensorType type, const std::vector<int64_t>& shape) {
  // Sizes beside a zero are multiplied, too: whoever counts rows or elements later cannot overflow.
  std::uint64_t product = element_size(type);
  bool empty = false;
  constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<int64_t>::max());
  for (const int64_t size : shape) {
    if (size < 0) return invalid_argument("[safetensors] a negative size (", size, ")");
    empty = empty || size == 0;
    if (size == 0) continue;
    if (static_cast<std::uint64_t>(size) > kMax / product)
      return invalid_argument("[safetensors] dtype and shape overflow 2^63 bytes");
    product *= static_cast<std::uint64_t>(size);
  }
  return empty ? 0 : product;
}

StatusOr<SafetensorsHeader> parse_safetensors_header(const char* text, std::size_t size_bytes,
                                                     std::uint64_t data_bytes) {
  if (size_bytes == 0 || text[0] != '{') return data_loss("the header does not begin with '{'");
  HeaderReader reader;
  if (!Json::sax_parse(text, text + size_bytes, &reader))
    return data_loss("the header has ", reader.problem);
  SafetensorsHeader header{.entries = {}, .metadata = std::move(reader.metadata)};
  header.entries.reserve(reader.entries.size());
  for (RawEntry& raw : reader.entries) {
    TITAN_ASSIGN_OR_RETURN(TensorEntry entry, checked_entry(raw, data_bytes));
    header.entries.push_back(std::move(entry));
  }
  // Empty tensors share an offset with their neighbour; they sort before it.
  std::sort(header.entries.begin(), header.entries.end(),
            [](const TensorEntry& a, const TensorEntry& b) {
              return std::pair(a.offset, a.size_bytes) < std::pair(b.offset, b.size_bytes);
            });
  TITAN_RETURN_IF_ERROR(check_tiling(header.entries, data_bytes));
  return header;
}

StatusOr<std::string> render_safetensors_header(const std::vector<TensorSpec>& specs,
                                                const std::map<std::string, std::string>& metadata,
                                                std::uint64_t* data_bytes) {
  std::string text = "{";
  if (!metadata.empty()) text += "\"__metadata__\":" + Json(metadata).dump();
  std::unordered_set<std::string> names;
  std::uint64_t offset = 0;
  for (const TensorSpec& spec : specs) {
    if (spec.name == "__metadata__" || !names.insert(spec.name).second)
      return invalid_argument("[safetensors] tensor name is reserved or appears twice ('",
                              spec.name, "')");
    TITAN_ASSIGN_OR_RETURN(const std::uint64_t size_bytes,
                           tensor_size_bytes(spec.type, spec.shape));
    if (size_bytes > static_cast<std::uint64_t>(std::numeric_limits<int64_t>::max()) - offset)
      return invalid_argument("[safetensors] the file would pass 2^63 bytes");
    if (text.size() > 1) text += ',';
    text += str_cat(Json(spec.name).dump(), ":{\"dtype\":\"", name_of(spec.type),
                    "\",\"shape\":", Json(spec.shape).dump(), ",\"data_offsets\":[", offset, ",",
                    offset + size_bytes, "]}");
    offset += size_bytes;
  }
  text += '}';
  while (text.size() % 8 != 0) text += ' ';
  *data_bytes = offset;
  std::string length(8, '\0');
  for (std::size_t i = 0; i < 8; ++i)
    length[i] = static_cast<char>((static_cast<std::uint64_t>(text.size()) >> (8 * i)) & 255);
  return length + text;
}

}  // namespace titan
