// The XML of ListObjectsV2, read by expat.
#include <expat.h>

#include <charconv>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "titan/io/remote/s3.h"

namespace titan {
namespace {

/// encoding-type=url: %XX, and '+' for a blank.
std::string decoded(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned byte = 0;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 3, byte, 16).ptr ==
            text.data() + i + 3) {
      out += static_cast<char>(byte);
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

struct Listing {
  std::vector<std::string> open;  ///< elements around the cursor
  std::string text;
  std::string key, etag, size, root, next;
  bool truncated = false;
  bool malformed = false;
  std::string bucket;
  S3Page page;

  void start(const char* name) {
    if (open.empty()) root = name;
    open.emplace_back(name);
    text.clear();
  }

  void end() {
    const std::string name = open.back();
    open.pop_back();
    const bool in_object = open.size() == 2 && open[1] == "Contents";
    if (in_object && name == "Key") key = decoded(text);
    if (in_object && name == "ETag") etag = text;
    if (in_object && name == "Size") size = text;
    if (open.size() == 1 && name == "IsTruncated") truncated = text == "true";
    if (open.size() == 1 && name == "NextContinuationToken") next = text;
    if (open.size() == 1 && name == "Contents") add_object();
    text.clear();
  }

  void add_object() {
    S3Object object{.url = "s3://" + bucket + "/" + key, .size_bytes = 0, .etag = etag};
    const char* const last = size.data() + size.size();
    const auto [ptr, error] = std::from_chars(size.data(), last, object.size_bytes);
    if (key.empty() || error != std::errc() || ptr != last) malformed = true;
    page.objects.push_back(std::move(object));
    key.clear(), etag.clear(), size.clear();
  }
};

void on_start(void* listing, const XML_Char* name, const XML_Char**) {
  static_cast<Listing*>(listing)->start(name);
}
void on_end(void* listing, const XML_Char*) { static_cast<Listing*>(listing)->end(); }
void on_text(void* listing, const XML_Char* text, int size) {
  static_cast<Listing*>(listing)->text.append(text, static_cast<std::size_t>(size));
}

}  // namespace

StatusOr<S3Page> parse_s3_page(const std::string& xml, const std::string& bucket) {
  const std::unique_ptr<std::remove_pointer_t<XML_Parser>, void (*)(XML_Parser)> parser(
      XML_ParserCreate(nullptr), XML_ParserFree);
  Listing listing;
  listing.bucket = bucket;
  XML_SetUserData(parser.get(), &listing);
  XML_SetElementHandler(parser.get(), on_start, on_end);
  XML_SetCharacterDataHandler(parser.get(), on_text);
  if (xml.size() > (1U << 30) || XML_Parse(parser.get(), xml.data(), static_cast<int>(xml.size()),
                                           /*isFinal=*/1) != XML_STATUS_OK)
    return data_loss("is no XML (", XML_ErrorString(XML_GetErrorCode(parser.get())), ", line ",
                     XML_GetCurrentLineNumber(parser.get()), ")");
  if (listing.root != "ListBucketResult")
    return data_loss("is no ListBucketResult (", listing.root, ")");
  if (listing.malformed) return data_loss("has an object without key or size");
  if (listing.truncated && listing.next.empty())
    return data_loss("breaks off without a token for its next page");
  listing.page.next = listing.truncated ? listing.next : "";
  return std::move(listing.page);
}

}  // namespace titan
