// sentence_piece_library.h: the sentencepiece library behind a wall. It brings a protobuf of its
// own whose symbols are those of the system's and of LibTorch's, and headers that declare an
// absl::string_view as Debian's do. So it is linked by a small module alone, which is loaded with
// its own symbols first (RTLD_DEEPBIND) and known here by these interfaces. Errors are words.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace titan {

/// A loaded spiece.model. Thread-safe.
class SentencePieces {
 public:
  virtual ~SentencePieces() = default;

  virtual std::int64_t num_pieces() const = 0;
  /// -1 where there is no such piece.
  virtual std::int64_t id_of(std::string_view piece) const = 0;
  virtual std::int64_t unknown_id() const = 0;
  /// One piece of a text. Neighbouring unknown characters make up one piece.
  struct Piece {
    std::int64_t id = 0;
    std::string unknown;  ///< what an unknown piece stands for; empty for others
  };
  /// Normalizes and segments `text`.
  virtual std::vector<Piece> encode(std::string_view text) const = 0;
};

/// What the module can do.
class SentencePieceModule {
 public:
  virtual ~SentencePieceModule() = default;

  /// nullptr, and `error` says why, where `model` is not the contents of a spiece.model.
  virtual std::unique_ptr<SentencePieces> load(const std::string& model,
                                               std::string& error) const = 0;
  /// Runs the library's trainer with `settings` (name=value) over `texts`; the model's bytes, or
  /// nothing and an `error`.
  virtual std::string train(const std::vector<std::pair<std::string, std::string>>& settings,
                            const std::vector<std::string>& texts, std::string& error) const = 0;
};

/// What libtitan_sentencepiece.so exports, under this name.
using SentencePieceEntry = const SentencePieceModule* (*)();
inline constexpr const char* kSentencePieceEntry = "titan_sentence_piece_module";

}  // namespace titan
