// mds_values.h: what the bytes of a value in a shard of MosaicML's format mean, by the column's
// encoding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/image.h"
#include "titan/io/image_decode.h"
#include "titan/io/mds_index.h"

namespace titan {

using MdsValues = std::vector<std::span<const std::byte>>;

struct MdsValue {
  const MdsColumn& column;
  std::span<const std::byte> bytes;
};

inline std::string_view text_view(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Encodings that can hold an image: jpeg, png, pil, or the bytes of a file.
bool is_mds_picture(const std::string& encoding);
/// The same without plain bytes.
bool is_mds_encoded_picture(const std::string& encoding);
bool is_mds_text(const std::string& encoding);
bool is_mds_json(const std::string& encoding);
bool is_mds_integer(const std::string& encoding);
/// Text or an integer.
bool is_mds_key(const std::string& encoding);

/// A str, or the key `caption` of a json object. kDataLoss where there is none.
StatusOr<std::string> mds_caption(const MdsValue& value);
StatusOr<std::string> mds_key(const MdsValue& value);
/// kDataLoss for a value of another size than the encoding's, or text that is no integer.
StatusOr<int64_t> mds_integer(const MdsValue& value);

/// Raw pixels of a Pillow image: width, height and length of the mode as uint32, the mode, the
/// pixels. Modes L, LA, RGB, RGBA and CMYK; kInvalidArgument for others or beyond `limits`,
/// kDataLoss where the pixels are not all there.
StatusOr<Image> mds_pil_image(std::span<const std::byte> bytes, const DecodeLimits& limits);

}  // namespace titan
