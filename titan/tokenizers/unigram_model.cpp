#include "titan/tokenizers/unigram_model.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

#include "titan/tokenizers/unigram_file.h"

namespace titan {
namespace {

constexpr std::string_view kSpace = "\xE2\x96\x81";  // U+2581
constexpr float kUnknownPenalty = 10;                // below the worst piece, as in the library

/// Length of the character that `lead` begins, in well-formed text.
std::size_t character_length(char lead) {
  const auto byte = static_cast<std::uint8_t>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

}  // namespace

std::optional<UnigramModel> UnigramModel::parse(const std::string& model) {
  std::optional<UnigramFile> file = read_unigram_file(model);
  if (!file) return std::nullopt;
  UnigramModel made;
  std::vector<std::pair<std::string, std::int32_t>> entries;
  float lowest = std::numeric_limits<float>::max();
  for (std::size_t i = 0; i < file->pieces.size(); ++i) {
    const UnigramFile::Piece& piece = file->pieces[i];
    const auto id = static_cast<std::int32_t>(i);
    made.scores_.push_back(piece.score);
    if (piece.kind == UnigramFile::Kind::kUnknown) made.unknown_id_ = id;
    if (piece.kind != UnigramFile::Kind::kNormal) continue;
    if (piece.text.empty() || piece.text.find('\0') != std::string::npos) return std::nullopt;
    lowest = std::min(lowest, piece.score);
    entries.emplace_back(piece.text, id);
  }
  std::optional<DoubleArray> pieces = DoubleArray::build(std::move(entries));
  if (!pieces) return std::nullopt;
  made.pieces_ = *std::move(pieces);
  made.unknown_score_ = lowest - kUnknownPenalty;
  made.rules_ = DoubleArray::from_bytes(file->rules);
  made.replacements_ = std::move(file->replacements);
  made.add_dummy_prefix_ = file->add_dummy_prefix;
  made.remove_extra_spaces_ = file->remove_extra_spaces;
  made.find_plain_letters();
  return made;
}

void UnigramModel::find_plain_letters() {
  for (std::uint8_t first = 1; first < plain_.size(); ++first) {
    DoubleArray::Node node = DoubleArray::kRoot;
    plain_[first] = true;
    if (!rules_.step(node, first)) continue;
    plain_[first] = rules_.value_at(node) < 0;
    for (std::uint8_t second = 1; second < plain_.size(); ++second) {
      DoubleArray::Node next = node;
      if (rules_.step(next, second)) plain_[first] = false;
    }
  }
}

/// The longest rule that fits, else one character as it is.
UnigramModel::Prefix UnigramModel::normalize_prefix(std::string_view text) const {
  const auto first = static_cast<std::uint8_t>(text[0]);
  if (first < 0x80 && plain_[first] &&
      (text.size() == 1 || static_cast<std::uint8_t>(text[1]) < 0x80))
    return {text.substr(0, 1), 1};
  Prefix longest;
  DoubleArray::Node node = DoubleArray::kRoot;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!rules_.step(node, static_cast<std::uint8_t>(text[i]))) break;
    const std::int32_t at = rules_.value_at(node);
    if (at < 0 || static_cast<std::size_t>(at) >= replacements_.size()) continue;
    longest = {replacements_.c_str() + at, i + 1};
  }
  if (longest.length > 0) return longest;
  const std::size_t length = std::min(character_length(text[0]), text.size());
  return {text.substr(0, length), length};
}

std::string UnigramModel::normalize(std::string_view text) const {
  std::string normal;
  while (remove_extra_spaces_ && !text.empty()) {
    const Prefix prefix = normalize_prefix(text);
    if (prefix.normal != " ") break;
    text.remove_prefix(prefix.length);
  }
  if (text.empty()) return normal;
  normal.reserve(text.size() + text.size() / 2 + kSpace.size());
  if (add_dummy_prefix_) normal += kSpace;
  bool after_space = remove_extra_spaces_;
  while (!text.empty()) {
    auto [part, length] = normalize_prefix(text);
    text.remove_prefix(length);
    while (after_space && part.starts_with(' ')) part.remove_prefix(1);
    if (!part.empty()) {
      for (const char letter : part) {
        if (letter == ' ')
          normal += kSpace;
        else
          normal += letter;
      }
      after_space = part.ends_with(' ');
    }
    if (!remove_extra_spaces_) after_space = false;
  }
  while (remove_extra_spaces_ && normal.ends_with(kSpace))
    normal.resize(normal.size() - kSpace.size());
  return normal;
}

/// Viterbi over the byte positions: the best way to end at each. Scores add up in the library's
/// order and precision, so that near-ties fall the same way: a piece's sum is compared in double
/// and kept in float, an unknown character's is float throughout.
std::vector<UnigramModel::Best> UnigramModel::best_paths(std::string_view normal) const {
  std::vector<Best> best(normal.size() + 1);
  for (std::size_t begin = 0; begin < normal.size();) {
    const float so_far = best[begin].score;
    const std::size_t character = std::min(character_length(normal[begin]), normal.size() - begin);
    bool has_character = false;
    DoubleArray::Node node = DoubleArray::kRoot;
    for (std::size_t end = begin; end < normal.size();) {
      if (!pieces_.step(node, static_cast<std::uint8_t>(normal[end]))) break;
      ++end;
      const std::int32_t id = pieces_.value_at(node);
      if (id < 0) continue;
      const double score =
          static_cast<double>(scores_[static_cast<std::size_t>(id)]) + static_cast<double>(so_far);
      Best& target = best[end];
      if (target.begin < 0 || score > static_cast<double>(target.score))
        target = {static_cast<float>(score), static_cast<std::int32_t>(begin), id};
      has_character = has_character || end - begin == character;
    }
    if (!has_character) {
      const float score = unknown_score_ + so_far;
      Best& target = best[begin + character];
      if (target.begin < 0 || score > target.score)
        target = {score, static_cast<std::int32_t>(begin), unknown_id_};
    }
    begin += character;
  }
  return best;
}

void UnigramModel::encode(std::string_view text, std::vector<SentencePieces::Piece>& pieces) const {
  const std::string normal = normalize(text);
  const std::vector<Best> best = best_paths(normal);
  const auto first = static_cast<std::ptrdiff_t>(pieces.size());
  for (std::size_t end = normal.size(); end > 0;) {
    const std::int32_t id = best[end].id;
    auto begin = static_cast<std::size_t>(best[end].begin);
    while (id == unknown_id_ && begin > 0 && best[begin].id == unknown_id_)
      begin = static_cast<std::size_t>(best[begin].begin);
    SentencePieces::Piece& piece = pieces.emplace_back();
    piece.id = id;
    if (id == unknown_id_) piece.unknown = normal.substr(begin, end - begin);
    end = begin;
  }
  std::reverse(pieces.begin() + first, pieces.end());
}

}  // namespace titan
