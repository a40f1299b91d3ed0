#include "titan/tools/data/coco_subset.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>
#include <unordered_set>

#include <nlohmann/json.hpp>

#include "titan/io/file_descriptor.h"
#include "titan/tools/data/numpy_permutation.h"

namespace titan::tools {
namespace {

using Json = nlohmann::json;

/// What Python's str.strip() takes off, as UTF-8 (Unicode's White_Space and the separators U+001C
/// to U+001F).
constexpr std::array<std::string_view, 29> kWhiteSpace = {
    "\t",           "\n",           "\v",           "\f",           "\r",
    "\x1c",         "\x1d",         "\x1e",         "\x1f",         " ",
    "\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\x80", "\xe2\x80\x81",
    "\xe2\x80\x82", "\xe2\x80\x83", "\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86",
    "\xe2\x80\x87", "\xe2\x80\x88", "\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8",
    "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80"};

std::string_view stripped(std::string_view text) {
  for (bool again = true; again;) {
    again = false;
    for (const std::string_view space : kWhiteSpace) {
      if (text.starts_with(space)) {
        text.remove_prefix(space.size());
        again = true;
      }
      if (text.ends_with(space)) {
        text.remove_suffix(space.size());
        again = true;
      }
    }
  }
  return text;
}

std::string cleaned(std::string caption) {
  std::erase(caption, '\n');
  return std::string(stripped(caption));
}

StatusOr<std::vector<CocoSample>> read_annotations(const std::string& path) {
  constexpr std::uint64_t kMaxBytes = std::uint64_t{4} << 30;
  TITAN_ASSIGN_OR_RETURN(const std::string text, read_file(path, kMaxBytes));
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto refuse = [&](const auto&... why) {
    return invalid_argument("[select-coco] ", path, " is no file of COCO captions: ", why...,
                            " (captions_val2014.json is one)");
  };
  if (json.is_discarded()) return refuse("it does not parse as JSON");
  if (!json.is_object() || !json.contains("annotations") || !json["annotations"].is_array())
    return refuse("it has no list \"annotations\"");
  std::vector<CocoSample> samples;
  for (const Json& annotation : json["annotations"]) {
    const auto has = [&](const char* key, auto test) {
      return annotation.is_object() && annotation.contains(key) && (annotation[key].*test)();
    };
    if (!has("image_id", &Json::is_number_integer) || !has("id", &Json::is_number_integer))
      return refuse("annotation ", samples.size(), " lacks an integer image_id or id");
    if (!has("caption", &Json::is_string))
      return refuse("annotation ", samples.size(), " has no caption: instances or key points?");
    samples.push_back({.image_id = annotation["image_id"].get<int64_t>(),
                       .id = annotation["id"].get<int64_t>(),
                       .caption = cleaned(annotation["caption"].get<std::string>())});
    if (samples.back().image_id < 0)
      return refuse("annotation ", samples.size() - 1, " has a negative image_id");
  }
  if (samples.empty()) return refuse("its list \"annotations\" is empty");
  return samples;
}

/// csv.QUOTE_MINIMAL.
std::string quoted(const std::string& text) {
  if (text.find_first_of("\t\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

}  // namespace

StatusOr<std::vector<CocoSample>> select_coco_samples(const std::string& annotations_path,
                                                      int64_t num_samples, std::uint32_t seed) {
  constexpr int64_t kNumTimesteps = 8;
  TITAN_ASSIGN_OR_RETURN(const std::vector<CocoSample> all, read_annotations(annotations_path));
  std::vector<CocoSample> chosen;
  std::unordered_set<int64_t> images;
  for (const int64_t i : numpy_permutation(static_cast<int64_t>(all.size()), seed)) {
    if (static_cast<int64_t>(chosen.size()) == num_samples) break;
    const CocoSample& sample = all[static_cast<std::size_t>(i)];
    if (images.insert(sample.image_id).second) chosen.push_back(sample);
  }
  std::stable_sort(chosen.begin(), chosen.end(),
                   [](const CocoSample& a, const CocoSample& b) { return a.id < b.id; });
  for (std::size_t i = 0; i < chosen.size(); ++i)
    chosen[i].timestep = static_cast<int64_t>(i) % kNumTimesteps;
  return chosen;
}

std::string coco_table(const std::vector<CocoSample>& samples) {
  std::string table = "image_id\tid\tcaption\ttimestep\n";
  for (const CocoSample& sample : samples)
    table += str_cat(sample.image_id, "\t", sample.id, "\t", quoted(sample.caption), "\t",
                     sample.timestep, "\n");
  return table;
}

std::string coco_key(int64_t image_id) {
  char text[32];
  std::snprintf(text, sizeof text, "%012lld", static_cast<long long>(image_id));
  return text;
}

std::string coco_image_name(int64_t image_id) { return "COCO_val2014_" + coco_key(image_id); }

}  // namespace titan::tools
