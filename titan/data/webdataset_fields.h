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
  std::string caption;  ///< txt, else the key `caption` of json, else empty
  std::optional<int64_t>
      label;  ///< the label member as an integer, else that key of json (a number or digits)
};

/// Decodes them. kDataLoss for a caption that is not UTF-8, json that does not parse, or a label
/// that is no integer.
StatusOr<TextFields> decode_text_members(const TextMembers& members,
                                         const std::string& label_field);

}  // namespace titan
