// unigram_file.h: what a spiece.model holds, read from its protocol buffer. The library keeps the
// rules of normalization to itself, and its generated classes cannot be linked twice.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace titan {

struct UnigramFile {
  enum class Kind : std::uint8_t { kNormal = 1, kUnknown = 2, kControl = 3, kUnused = 5 };
  struct Piece {
    std::string text;
    float score = 0;
    Kind kind = Kind::kNormal;
  };
  std::vector<Piece> pieces;
  std::string rules;         ///< a double array (double_array.h)
  std::string replacements;  ///< what its values point into
  bool add_dummy_prefix = true;
  bool remove_extra_spaces = true;
};

/// Nothing where the contents are no unigram model of the plain kind (unigram_model.h).
std::optional<UnigramFile> read_unigram_file(const std::string& model);

/// False for a file that ends between two pieces or before the settings of the normalizer, which
/// the library would take for a model that normalizes nothing.
bool has_normalizer(const std::string& model);

}  // namespace titan
