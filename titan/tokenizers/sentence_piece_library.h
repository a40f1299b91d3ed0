// sentence_piece_library.h: the sentencepiece library behind a wall: its headers and Debian 12's
// absl each declare an absl::string_view, so no file can include both. Errors are words here.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace titan {

/// A loaded spiece.model. Thread-safe.
class SentencePieces {
 public:
  /// nullptr, and `error` says why, where `model` is not the contents of such a file.
  static std::unique_ptr<SentencePieces> load(const std::string& model, std::string& error);
  ~SentencePieces();

  std::int64_t num_pieces() const;
  /// -1 where there is no such piece.
  std::int64_t id_of(std::string_view piece) const;
  std::int64_t unknown_id() const;
  /// One piece of a text. Neighbouring unknown characters make up one piece.
  struct Piece {
    std::int64_t id = 0;
    std::string unknown;  ///< what an unknown piece stands for; empty for others
  };
  /// Normalizes and segments `text`.
  std::vector<Piece> encode(std::string_view text) const;

 private:
  struct Library;
  explicit SentencePieces(std::unique_ptr<Library> library);
  std::unique_ptr<Library> library_;
};

/// Runs the library's trainer with `settings` (name=value) over `texts`; the model's bytes, or
/// nothing and an `error`.
std::string run_sentence_piece_trainer(
    const std::vector<std::pair<std::string, std::string>>& settings,
    const std::vector<std::string>& texts, std::string& error);

}  // namespace titan
