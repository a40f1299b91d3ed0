// tfrecord.h: TensorFlow's record file: length, masked CRC-32C of the length, bytes, masked CRC-32C
// of the bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace titan::metrics {

/// CRC-32C (Castagnoli), reflected polynomial 0x82F63B78.
std::uint32_t crc32c(std::string_view bytes);

/// One framed record.
std::string frame_record(std::string_view payload);

struct FramedRecord {
  std::string_view payload;
  std::size_t end = 0;  ///< offset of the next record
};
/// The record at `offset`; nothing at the end of the file, or where the record is torn or damaged.
std::optional<FramedRecord> record_at(std::string_view file, std::size_t offset);

}  // namespace titan::metrics
