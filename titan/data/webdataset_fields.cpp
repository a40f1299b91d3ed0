#include "titan/data/webdataset_fields.h"

#include <charconv>

#include <nlohmann/json.hpp>

#include "titan/io/json_nesting.h"

namespace titan {
namespace {

using Json = nlohmann::json;

/// Bytes of the sequence that `lead` begins; 0 for a byte that begins none.
int sequence_length(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  if (lead >= 0xF0 && lead <= 0xF4) return 4;
  return 0;
}

StatusOr<int64_t> integer_in(const std::string& text, const std::string& member) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  const std::size_t end = text.find_last_not_of(" \t\r\n");
  int64_t value = 0;
  if (begin != std::string::npos) {
    const char* last = text.data() + end + 1;
    const auto result = std::from_chars(text.data() + begin, last, value);
    if (result.ec == std::errc() && result.ptr == last) return value;
  }
  constexpr std::size_t kShown = 40;
  return data_loss("member ", member, " is no integer ('", text.substr(0, kShown), "')");
}

}  // namespace

bool is_utf8(const std::string& text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  for (std::size_t i = 0; i < text.size();) {
    const int length = sequence_length(byte(i));
    if (length == 0 || i + static_cast<std::size_t>(length) > text.size()) return false;
    for (int k = 1; k < length; ++k)
      if ((byte(i + k) & 0xC0) != 0x80) return false;
    if (length > 2) {
      const unsigned char second = byte(i + 1);
      const bool overlong =
          (byte(i) == 0xE0 && second < 0xA0) || (byte(i) == 0xF0 && second < 0x90);
      const bool surrogate = byte(i) == 0xED && second > 0x9F;
      const bool too_large = byte(i) == 0xF4 && second > 0x8F;
      if (overlong || surrogate || too_large) return false;
    }
    i += static_cast<std::size_t>(length);
  }
  return true;
}

StatusOr<TextFields> decode_text_members(const TextMembers& members,
                                         const std::string& label_field) {
  TextFields fields;
  if (members.txt && !is_utf8(*members.txt)) return data_loss("member txt is not UTF-8");
  Json json;
  if (members.json) {
    if (nests_too_deep(*members.json))
      return data_loss("member json nests lists or objects too deep");
    json = Json::parse(*members.json, nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded()) return data_loss("member json does not parse");
  }
  if (members.txt) {
    fields.caption = *members.txt;
  } else if (json.is_object() && json.contains("caption") && json["caption"].is_string()) {
    fields.caption = json["caption"].get<std::string>();
  }
  if (members.label) {
    TITAN_ASSIGN_OR_RETURN(fields.label, integer_in(*members.label, label_field));
  } else if (json.is_object() && json.contains(label_field)) {
    const Json& label = json[label_field];
    if (label.is_string()) {
      // img2dataset writes its keys so: "key": "000000003".
      TITAN_ASSIGN_OR_RETURN(fields.label, integer_in(label.get<std::string>(), label_field));
    } else if (label.is_number_integer()) {
      fields.label = label.get<int64_t>();
    } else {
      return data_loss("key '", label_field, "' of member json is no integer");
    }
  }
  return fields;
}

Status decode_coco_json(const std::optional<std::string>& json, TextFields& fields) {
  if (!json) return data_loss("no json member, which gives the timestep");
  if (nests_too_deep(*json)) return data_loss("member json nests lists or objects too deep");
  const Json object = Json::parse(*json, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return data_loss("member json is no object");
  const auto timestep = object.find("timestep");
  if (timestep == object.end() || !timestep->is_number_integer())
    return data_loss("key 'timestep' of member json is ",
                     timestep == object.end() ? "missing" : "no integer");
  fields.timestep = timestep->get<int64_t>();
  const auto id = object.find("id");
  if (id == object.end()) return ok_status();
  if (id->is_string()) {
    fields.id = id->get<std::string>();
  } else if (id->is_number_integer()) {
    fields.id = str_cat(id->get<int64_t>());
  }
  return ok_status();
}

}  // namespace titan
