#include "titan/tokenizers/clip_vocabulary.h"

#include <archive.h>
#include <archive_entry.h>

#include <memory>
#include <sstream>
#include <unordered_set>
#include <vector>

#include <nlohmann/json.hpp>

#include "titan/base/printable.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/json_nesting.h"
#include "titan/tokenizers/clip_text.h"

namespace titan {
namespace {

constexpr std::uint64_t kMaxFileBytes = 64 << 20;  ///< the published ones have 3 MB unpacked
/// The published vocabulary's: 49,408 less 2 x 256 byte symbols and 2 special tokens.
constexpr std::size_t kMaxMerges = 48894;
constexpr std::int64_t kMaxIds = 1 << 24;

/// Pairs of lines 2 and on.
StatusOr<BytePairs::Merges> parse_merges(const std::string& text, const std::string& path) {
  BytePairs::Merges merges;
  std::istringstream lines(text);
  std::int64_t number = 1;
  std::string line;
  std::getline(lines, line);
  while (merges.size() < kMaxMerges && std::getline(lines, line)) {
    ++number;
    std::istringstream words(line);
    std::string left, right, more;
    if (!(words >> left)) continue;
    if (!(words >> right) || words >> more)
      return data_loss(path, ":", number, " is not a pair of symbols (", printable(line),
                       "): no merges.txt of a CLIP tokenizer, or a damaged one");
    merges.emplace_back(std::move(left), std::move(right));
  }
  if (merges.empty())
    return data_loss(path, " holds no merges: no merges.txt of a CLIP tokenizer, or cut short");
  return merges;
}

StatusOr<BytePairs::Vocabulary> parse_vocabulary(const std::string& text, const std::string& path) {
  if (nests_too_deep(text))
    return data_loss(path, " is no vocabulary: it nests lists or objects too deep");
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded())
    return data_loss(path, " is no JSON (damaged, or cut short: ", text.size(), " bytes)");
  if (!json.is_object() || json.empty())
    return data_loss(path, " is no vocabulary: not an object of symbol -> id");
  BytePairs::Vocabulary ids;
  std::unordered_set<std::int64_t> used;
  for (const auto& [symbol, id] : json.items()) {
    if (!id.is_number_integer() || id.get<std::int64_t>() < 0 || id.get<std::int64_t>() >= kMaxIds)
      return data_loss(path, " is no vocabulary: the id of ", printable(symbol), " is ",
                       printable(id.dump()));
    if (!used.insert(id.get<std::int64_t>()).second)
      return data_loss(path, " gives the id ", id.get<std::int64_t>(), " twice (",
                       printable(symbol), ")");
    ids.emplace(symbol, id.get<std::int64_t>());
  }
  return ids;
}

Status find_special_tokens(ClipVocabulary& vocabulary, const std::string& path) {
  const auto find = [&](std::string_view token, std::int64_t& id) -> Status {
    const auto found = vocabulary.ids.find(std::string(token));
    if (found == vocabulary.ids.end())
      return invalid_argument(path, " is no vocabulary of CLIP: it has no ", token);
    id = found->second;
    return ok_status();
  };
  TITAN_RETURN_IF_ERROR(find(kClipStart, vocabulary.start_id));
  TITAN_RETURN_IF_ERROR(find(kClipEnd, vocabulary.end_id));
  for (const auto& [symbol, id] : vocabulary.ids)
    vocabulary.size = std::max(vocabulary.size, id + 1);
  return ok_status();
}

/// Symbols that come from nowhere: not a byte, not special, made by no merge.
Status check_all_symbols_made(const ClipVocabulary& vocabulary, const std::string& vocab_json,
                              const std::string& merges_txt) {
  std::unordered_set<std::string> made;
  for (const std::string& byte : byte_characters()) {
    made.insert(byte);
    made.insert(byte + kEndOfWord);
  }
  for (const auto& [left, right] : vocabulary.merges) made.insert(left + right);
  const auto is_special = [](const std::string& symbol) {
    return symbol.starts_with('<') && symbol.ends_with('>');
  };
  std::vector<std::string> unmade;
  for (const auto& [symbol, id] : vocabulary.ids)
    if (made.count(symbol) == 0 && !is_special(symbol)) unmade.push_back(symbol);
  if (unmade.empty()) return ok_status();
  std::sort(unmade.begin(), unmade.end());
  return invalid_argument(vocab_json, " has ", unmade.size(), " symbols that no merge of ",
                          merges_txt, " makes (", listed(unmade, 3, 30),
                          "): the two files belong to different tokenizers, or the second is cut "
                          "short");
}

/// The file's contents, unpacked where it is a gzip stream.
StatusOr<std::string> read_unpacked(const std::string& path) {
  TITAN_ASSIGN_OR_RETURN(const std::string bytes, read_file(path, kMaxFileBytes));
  if (!bytes.starts_with("\x1f\x8b")) return bytes;
  const std::unique_ptr<archive, decltype(&archive_read_free)> reader(archive_read_new(),
                                                                      archive_read_free);
  TITAN_CHECK(reader != nullptr, "[gzip] out of memory");
  const auto damaged = [&] {
    const char* reason = archive_error_string(reader.get());
    return data_loss(path, " cannot be decompressed (",
                     reason == nullptr ? "unknown error" : reason, "): damaged or cut short");
  };
  archive_read_support_filter_gzip(reader.get());
  archive_read_support_format_raw(reader.get());
  archive_entry* entry = nullptr;
  if (archive_read_open_memory(reader.get(), bytes.data(), bytes.size()) != ARCHIVE_OK ||
      archive_read_next_header(reader.get(), &entry) != ARCHIVE_OK)
    return damaged();
  std::string text;
  std::vector<char> buffer(1 << 16);
  for (;;) {
    const la_ssize_t count = archive_read_data(reader.get(), buffer.data(), buffer.size());
    if (count == 0) return text;
    if (count < 0) return damaged();
    text.append(buffer.data(), static_cast<std::size_t>(count));
    if (text.size() > kMaxFileBytes) return data_loss(path, " unpacks to more than 64 MiB");
  }
}

}  // namespace

StatusOr<ClipVocabulary> read_clip_vocabulary(const std::string& vocab_json,
                                              const std::string& merges_txt) {
  ClipVocabulary vocabulary;
  TITAN_ASSIGN_OR_RETURN(const std::string vocabulary_text, read_file(vocab_json, kMaxFileBytes));
  TITAN_ASSIGN_OR_RETURN(const std::string merges_text, read_file(merges_txt, kMaxFileBytes));
  TITAN_ASSIGN_OR_RETURN(vocabulary.ids, parse_vocabulary(vocabulary_text, vocab_json));
  TITAN_ASSIGN_OR_RETURN(vocabulary.merges, parse_merges(merges_text, merges_txt));
  TITAN_RETURN_IF_ERROR(find_special_tokens(vocabulary, vocab_json));
  TITAN_RETURN_IF_ERROR(check_all_symbols_made(vocabulary, vocab_json, merges_txt));
  return vocabulary;
}

std::vector<std::string> openai_symbols(const BytePairs::Merges& merges) {
  std::vector<std::string> symbols;
  std::unordered_set<std::string> known;
  const auto add = [&](std::string symbol) {
    if (known.insert(symbol).second) symbols.push_back(std::move(symbol));
  };
  // Bytes that are written as themselves come first.
  for (const char* ending : {"", kEndOfWord})
    for (const bool stand_in : {false, true})
      for (const std::string& byte : byte_characters())
        if ((byte >= "\xC4\x80") == stand_in) add(byte + ending);
  for (const auto& [left, right] : merges) add(left + right);
  add(std::string(kClipStart));
  add(std::string(kClipEnd));
  return symbols;
}

StatusOr<ClipVocabulary> read_openai_clip_vocabulary(const std::string& path) {
  ClipVocabulary vocabulary;
  TITAN_ASSIGN_OR_RETURN(const std::string text, read_unpacked(path));
  TITAN_ASSIGN_OR_RETURN(vocabulary.merges, parse_merges(text, path));
  for (const std::string& symbol : openai_symbols(vocabulary.merges))
    vocabulary.ids.emplace(symbol, static_cast<std::int64_t>(vocabulary.ids.size()));
  TITAN_RETURN_IF_ERROR(find_special_tokens(vocabulary, path));
  return vocabulary;
}

}  // namespace titan
