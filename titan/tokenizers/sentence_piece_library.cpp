#include "titan/tokenizers/sentence_piece_library.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <unordered_map>
#include <utility>

namespace titan {
namespace {

/// Hands texts to the trainer.
class Texts : public sentencepiece::SentenceIterator {
 public:
  explicit Texts(const std::vector<std::string>& texts) : texts_(texts) {}
  bool done() const override { return next_ == texts_.size(); }
  void Next() override { ++next_; }
  const std::string& value() const override { return texts_[next_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& texts_;
  std::size_t next_ = 0;
};

std::string words_of(const sentencepiece::util::Status& status) {
  const std::string words = status.error_message();
  return words.empty() ? "not a sentencepiece model" : words;
}

}  // namespace

struct SentencePieces::Library {
  sentencepiece::SentencePieceProcessor processor;
};

SentencePieces::SentencePieces(std::unique_ptr<Library> library) : library_(std::move(library)) {}
SentencePieces::~SentencePieces() = default;

std::unique_ptr<SentencePieces> SentencePieces::load(const std::string& model, std::string& error) {
  auto library = std::make_unique<Library>();
  const auto status = library->processor.LoadFromSerializedProto(model);
  if (!status.ok()) {
    error = words_of(status);
    return nullptr;
  }
  return std::unique_ptr<SentencePieces>(new SentencePieces(std::move(library)));
}

std::int64_t SentencePieces::num_pieces() const { return library_->processor.GetPieceSize(); }

std::int64_t SentencePieces::unknown_id() const { return library_->processor.unk_id(); }

std::int64_t SentencePieces::id_of(std::string_view piece) const {
  const int id = library_->processor.PieceToId(piece);
  return library_->processor.IdToPiece(id) == piece ? id : -1;
}

std::vector<SentencePieces::Piece> SentencePieces::encode(std::string_view text) const {
  const auto encoded = library_->processor.EncodeAsImmutableProto(text);
  std::vector<Piece> pieces(encoded.pieces_size());
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const auto piece = encoded.pieces(static_cast<int>(i));
    pieces[i].id = piece.id();
    if (pieces[i].id == unknown_id()) pieces[i].unknown = piece.piece();
  }
  return pieces;
}

std::string run_sentence_piece_trainer(
    const std::vector<std::pair<std::string, std::string>>& settings,
    const std::vector<std::string>& texts, std::string& error) {
  const std::unordered_map<std::string, std::string> arguments(settings.begin(), settings.end());
  Texts iterator(texts);
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(arguments, &iterator, &model);
  if (!status.ok()) error = words_of(status);
  return status.ok() ? model : "";
}

}  // namespace titan
