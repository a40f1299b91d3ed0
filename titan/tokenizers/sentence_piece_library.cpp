// The module itself: libtitan_sentencepiece.so.
#include "titan/tokenizers/sentence_piece_library.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <unordered_map>

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

class LoadedPieces : public SentencePieces {
 public:
  sentencepiece::util::Status load(const std::string& model) {
    return processor_.LoadFromSerializedProto(model);
  }

  std::int64_t num_pieces() const override { return processor_.GetPieceSize(); }
  std::int64_t unknown_id() const override { return processor_.unk_id(); }
  std::int64_t id_of(std::string_view piece) const override {
    const int id = processor_.PieceToId(piece);
    return processor_.IdToPiece(id) == piece ? id : -1;
  }

  std::vector<Piece> encode(std::string_view text) const override {
    const auto encoded = processor_.EncodeAsImmutableProto(text);
    std::vector<Piece> pieces(encoded.pieces_size());
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const auto piece = encoded.pieces(static_cast<int>(i));
      pieces[i].id = piece.id();
      if (pieces[i].id == unknown_id()) pieces[i].unknown = piece.piece();
    }
    return pieces;
  }

 private:
  sentencepiece::SentencePieceProcessor processor_;
};

class Module : public SentencePieceModule {
 public:
  std::unique_ptr<SentencePieces> load(const std::string& model,
                                       std::string& error) const override {
    auto pieces = std::make_unique<LoadedPieces>();
    const auto status = pieces->load(model);
    if (status.ok()) return pieces;
    error = words_of(status);
    return nullptr;
  }

  std::string train(const std::vector<std::pair<std::string, std::string>>& settings,
                    const std::vector<std::string>& texts, std::string& error) const override {
    const std::unordered_map<std::string, std::string> arguments(settings.begin(), settings.end());
    Texts iterator(texts);
    std::string model;
    const auto status = sentencepiece::SentencePieceTrainer::Train(arguments, &iterator, &model);
    if (!status.ok()) error = words_of(status);
    return status.ok() ? model : "";
  }
};

}  // namespace
}  // namespace titan

extern "C" __attribute__((visibility("default"))) const titan::SentencePieceModule*
titan_sentence_piece_module() {
  static const titan::Module module;
  return &module;
}
