// webdataset_fields.h: what the text members of a webdataset sample mean.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "titan/base/status.h"

namespace titan {

/// True for well-formed UTF-8 (no overlong forms, no surrogates).
bool is_utf8(const std::string& text);

/// Text members of one sample; absent ones are empty optionals.
struct TextMembers {
  std::optional<std::string> txt;
  std::optional<std::string> json;
  std::optional<std::string> label;  ///< the member named like the label field
};

struct TextFields {
  std::optional<std::string> caption;  ///< txt, else the key `caption` of json
  std::optional<int64_t> label;  ///< the label member, else that key of json (a number or digits)
  std::optional<int64_t> timestep;  ///< of decode_coco_json
  std::optional<std::string> id;    ///< of decode_coco_json
};

/// Decodes them. kDataLoss for a caption that is not UTF-8, json that does not parse, or a label
/// that is no integer.
StatusOr<TextFields> decode_text_members(const TextMembers& members,
                                         const std::string& label_field);

/// Adds what the json member of the COCO subset says: `timestep`, and `id` where it is there (text
/// or number: COCO's own, without zeros in front). kDataLoss without json or an integer timestep.
Status decode_coco_json(const std::optional<std::string>& json, TextFields& fields);

}  // namespace titan
