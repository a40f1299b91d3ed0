#include "titan/tokenizers/unigram_file.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <bit>
#include <cstring>
#include <functional>

namespace titan {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

// Field numbers of sentencepiece_model.proto.
enum ModelField : int { kPieces = 1, kTrainer = 2, kNormalizer = 3 };
enum PieceField : int { kText = 1, kScore = 2, kKind = 3 };
enum TrainerField : int { kModelType = 3, kSpaceAsSuffix = 24, kByteFallback = 35 };
enum NormalizerField : int {
  kCharacterMap = 2,
  kDummyPrefix = 3,
  kRemoveSpaces = 4,
  kEscapeSpaces = 5
};
constexpr std::uint64_t kUnigram = 1;

/// A field's value, whichever of the three forms it has.
struct Field {
  int number = 0;
  std::uint64_t integer = 0;
  float real = 0;
  std::string bytes;
};

/// Hands all fields of a message to `take`; false where the bytes are no message or `take` says so.
bool for_each_field(const std::string& message, const std::function<bool(Field&)>& take) {
  CodedInputStream input(reinterpret_cast<const std::uint8_t*>(message.data()),
                         static_cast<int>(message.size()));
  while (const std::uint32_t tag = input.ReadTag()) {
    Field field{.number = WireFormatLite::GetTagFieldNumber(tag), .bytes = {}};
    bool read = false;
    switch (WireFormatLite::GetTagWireType(tag)) {
      case WireFormatLite::WIRETYPE_VARINT:
        read = input.ReadVarint64(&field.integer);
        break;
      case WireFormatLite::WIRETYPE_FIXED32: {
        std::uint32_t bits = 0;
        read = input.ReadLittleEndian32(&bits);
        field.real = std::bit_cast<float>(bits);
        break;
      }
      case WireFormatLite::WIRETYPE_LENGTH_DELIMITED: {
        std::uint32_t size = 0;
        read = input.ReadVarint32(&size) && size <= message.size() &&
               input.ReadString(&field.bytes, static_cast<int>(size));
        break;
      }
      default:
        read = WireFormatLite::SkipField(&input, tag);
    }
    if (!read || !take(field)) return false;
  }
  return input.ConsumedEntireMessage();
}

bool read_piece(const std::string& message, UnigramFile::Piece& piece) {
  return for_each_field(message, [&](Field& field) {
    if (field.number == kText) piece.text = std::move(field.bytes);
    if (field.number == kScore) piece.score = field.real;
    if (field.number == kKind) {
      piece.kind = static_cast<UnigramFile::Kind>(field.integer);
      switch (piece.kind) {
        case UnigramFile::Kind::kNormal:
        case UnigramFile::Kind::kUnknown:
        case UnigramFile::Kind::kControl:
        case UnigramFile::Kind::kUnused:
          break;
        default:
          return false;  // user-defined symbols and bytes: the library's
      }
    }
    return true;
  });
}

bool is_plain_trainer(const std::string& message) {
  return for_each_field(message, [](const Field& field) {
    if (field.number == kModelType) return field.integer == kUnigram;
    return (field.number != kSpaceAsSuffix && field.number != kByteFallback) || field.integer == 0;
  });
}

/// <size of the double array, 4 bytes> <double array> <replacements>
bool split_character_map(const std::string& map, UnigramFile& file) {
  if (map.empty()) return true;
  std::uint32_t size = 0;
  if (map.size() <= sizeof size) return false;
  std::memcpy(&size, map.data(), sizeof size);
  if (size >= map.size() - sizeof size) return false;
  file.rules = map.substr(sizeof size, size);
  file.replacements = map.substr(sizeof size + size);
  return true;
}

bool read_normalizer(const std::string& message, UnigramFile& file) {
  return for_each_field(message, [&](const Field& field) {
    switch (field.number) {
      case kCharacterMap:
        return split_character_map(field.bytes, file);
      case kDummyPrefix:
        file.add_dummy_prefix = field.integer != 0;
        return true;
      case kRemoveSpaces:
        file.remove_extra_spaces = field.integer != 0;
        return true;
      case kEscapeSpaces:
        return field.integer != 0;
      default:
        return true;
    }
  });
}

}  // namespace

std::optional<UnigramFile> read_unigram_file(const std::string& model) {
  UnigramFile file;
  const bool plain = for_each_field(model, [&](const Field& field) {
    switch (field.number) {
      case kPieces:
        return read_piece(field.bytes, file.pieces.emplace_back());
      case kTrainer:
        return is_plain_trainer(field.bytes);
      case kNormalizer:
        return read_normalizer(field.bytes, file);
      default:
        return true;
    }
  });
  if (!plain || file.pieces.empty()) return std::nullopt;
  return file;
}

bool has_normalizer(const std::string& model) {
  bool found = false;
  const bool whole = for_each_field(model, [&](const Field& field) {
    found = found || field.number == kNormalizer;
    return true;
  });
  return whole && found;
}

}  // namespace titan
