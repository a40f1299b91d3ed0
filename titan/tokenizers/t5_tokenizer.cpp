#include "titan/tokenizers/t5_tokenizer.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "titan/io/file_descriptor.h"
#include "titan/tokenizers/sentence_piece_loader.h"
#include "titan/tokenizers/unicode.h"
#include "titan/tokenizers/unigram_file.h"
#include "titan/tokenizers/unigram_model.h"
#include "titan/tokenizers/utf8.h"

namespace titan {
namespace {

constexpr std::uint64_t kMaxFileBytes = 64 << 20;  ///< the published one has 0.8 MB
constexpr std::int64_t kNumSentinels = 100;

/// A token that is found in the text before sentencepiece sees it.
struct SpecialToken {
  std::int64_t id = 0;
  bool takes_spaces = false;
};
using SpecialTokens = std::unordered_map<std::string, SpecialToken>;

struct FoundToken {
  std::size_t position = std::string_view::npos;
  std::size_t length = 0;
  SpecialToken token = {};
};

std::string_view without_spaces_in_front(std::string_view text) {
  for (std::size_t position = 0; position < text.size();) {
    const std::size_t begin = position;
    if (!is_python_space(next_code_point(text, position))) return text.substr(begin);
  }
  return {};
}

std::string_view without_spaces_behind(std::string_view text) {
  std::size_t end = 0;
  for (std::size_t position = 0; position < text.size();)
    if (!is_python_space(next_code_point(text, position))) end = position;
  return text.substr(0, end);
}

class T5Tokenizer : public Tokenizer {
 public:
  T5Tokenizer(std::unique_ptr<SentencePieces> pieces, std::optional<UnigramModel> unigram,
              SpecialTokens tokens)
      : pieces_(std::move(pieces)),
        unigram_(std::move(unigram)),
        tokens_(std::move(tokens)),
        pad_(tokens_.at("<pad>").id),
        end_(tokens_.at("</s>").id) {}

  void encode(std::string_view text, std::span<std::int64_t> ids) const override {
    TITAN_CHECK(!ids.empty(), "[t5 tokenizer] needs room for the end token");
    std::string repaired;
    std::vector<std::int64_t> found;
    split(well_formed_utf8(text, repaired), found);
    std::size_t length = std::min(found.size(), ids.size() - 1);
    std::copy_n(found.begin(), length, ids.begin());
    if (length == 0 || ids[length - 1] != end_) ids[length++] = end_;
    std::fill(ids.begin() + static_cast<std::ptrdiff_t>(length), ids.end(), pad_);
  }

  std::int64_t vocabulary_size() const override { return pieces_->num_pieces() + kNumSentinels; }

 private:
  /// Cuts at the special tokens; what lies between them is segmented piece by piece.
  void split(std::string_view text, std::vector<std::int64_t>& ids) const {
    bool take_spaces = false;
    while (!text.empty()) {
      const FoundToken found = first_token(text);
      std::string_view between = text.substr(0, found.position);
      if (take_spaces) between = without_spaces_in_front(between);
      if (found.token.takes_spaces) between = without_spaces_behind(between);
      append_pieces(between, ids);
      if (found.position == std::string_view::npos) return;
      ids.push_back(found.token.id);
      take_spaces = found.token.takes_spaces;
      text.remove_prefix(found.position + found.length);
    }
  }

  FoundToken first_token(std::string_view text) const {
    for (std::size_t at = text.find('<'); at != std::string_view::npos;
         at = text.find('<', at + 1)) {
      // All tokens end in the first '>' behind their '<'.
      constexpr std::size_t kLongest = sizeof("<extra_id_99>") - 1;
      const std::size_t close = text.substr(at, kLongest).find('>');
      if (close == std::string_view::npos) continue;
      const auto token = tokens_.find(std::string(text.substr(at, close + 1)));
      if (token != tokens_.end()) return {at, close + 1, token->second};
    }
    return {};
  }

  void append_pieces(std::string_view text, std::vector<std::int64_t>& ids) const {
    if (text.empty()) return;
    std::vector<SentencePieces::Piece> pieces;
    if (unigram_)
      unigram_->encode(text, pieces);
    else
      pieces = pieces_->encode(text);
    for (const SentencePieces::Piece& piece : pieces)
      ids.push_back(piece.unknown.empty() ? piece.id : id_of_unknown(piece));
  }

  /// The reference looks pieces up by name: one of unknown characters only may be the name of a
  /// special token (full-width letters normalize to it) or of a control symbol.
  std::int64_t id_of_unknown(const SentencePieces::Piece& piece) const {
    if (const auto token = tokens_.find(piece.unknown); token != tokens_.end())
      return token->second.id;
    return std::max(pieces_->id_of(piece.unknown), pieces_->unknown_id());
  }

  std::unique_ptr<SentencePieces> pieces_;
  std::optional<UnigramModel> unigram_;  ///< the fast way; without it the library segments
  SpecialTokens tokens_;
  std::int64_t pad_;
  std::int64_t end_;
};

StatusOr<SpecialTokens> special_tokens(const SentencePieces& pieces, const std::string& path) {
  SpecialTokens tokens;
  for (const char* name : {"<pad>", "</s>", "<unk>"}) {
    const std::int64_t id = pieces.id_of(name);
    if (id < 0)
      return invalid_argument("[t5 tokenizer] ", path, " is no model of T5: it has no piece ",
                              name);
    tokens[name] = {.id = id};
  }
  for (std::int64_t n = 0; n < kNumSentinels; ++n)
    tokens[str_cat("<extra_id_", n, ">")] = {.id = pieces.num_pieces() + kNumSentinels - 1 - n,
                                             .takes_spaces = true};
  return tokens;
}

}  // namespace

StatusOr<std::shared_ptr<const Tokenizer>> open_t5_tokenizer(const std::string& spiece_path) {
  StatusOr<std::string> model = read_file(spiece_path, kMaxFileBytes);
  if (!model.ok()) return annotate(model.status(), "[t5 tokenizer]");
  TITAN_ASSIGN_OR_RETURN(const SentencePieceModule* module, sentence_piece_module());
  std::string error;
  std::unique_ptr<SentencePieces> pieces = module->load(*model, error);
  if (pieces == nullptr)
    return data_loss("[t5 tokenizer] ", spiece_path,
                     " is no sentencepiece model, or a damaged one (", error, ")");
  if (!has_normalizer(*model))
    return data_loss("[t5 tokenizer] ", spiece_path,
                     " is no sentencepiece model, or a damaged one (it ends before the settings of "
                     "its normalizer)");
  TITAN_ASSIGN_OR_RETURN(SpecialTokens tokens, special_tokens(*pieces, spiece_path));
  return std::make_shared<const T5Tokenizer>(std::move(pieces), UnigramModel::parse(*model),
                                             std::move(tokens));
}

}  // namespace titan
