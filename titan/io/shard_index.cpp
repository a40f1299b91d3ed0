#include "titan/io/shard_index.h"

#include <nlohmann/json.hpp>

#include "titan/base/printable.h"

namespace titan {
namespace {

using Json = nlohmann::json;

/// Reads the index as a stream of events: a hostile one is refused at the first thing that does not
/// belong, whatever its depth or length.
class IndexReader : public nlohmann::json_sax<Json> {
 public:
  ShardMap files;
  std::string problem;
  bool has_map = false;

  bool start_object(std::size_t /*elements*/) override {
    constexpr int kDeepest = 16;  // metadata may hold what it likes, to a point
    if (depth_ == 2 && in_map_) return fail("an object where a file name belongs");
    return ++depth_ <= kDeepest || fail("objects too deep");
  }
  bool end_object() override {
    --depth_;
    if (depth_ == 1) in_map_ = false;
    return true;
  }
  bool key(std::string& name) override {
    name_ = name;
    if (depth_ != 1) return true;
    if (name != "weight_map") return true;
    if (has_map) return fail("two weight maps");
    in_map_ = has_map = true;
    return true;
  }
  bool string(std::string& value) override {
    if (!in_map_) return true;
    if (depth_ != 2) return fail("a text where the weight map belongs");
    if (!is_plain_name(value))
      return fail("a file name that is not a plain .safetensors name ('" + printable(value) + "')");
    return files.emplace(name_, value).second || fail("a tensor that appears twice");
  }
  bool start_array(std::size_t /*elements*/) override {
    if (in_map_ || depth_ == 0) return fail("a list where none belongs");
    return ++lists_ <= kMostLists || fail("too many lists");
  }
  bool end_array() override { return true; }
  bool null() override { return other(); }
  bool boolean(bool /*value*/) override { return other(); }
  bool number_integer(number_integer_t /*value*/) override { return other(); }
  bool number_unsigned(number_unsigned_t /*value*/) override { return other(); }
  bool number_float(number_float_t /*value*/, const std::string& /*text*/) override {
    return other();
  }
  bool binary(binary_t& /*value*/) override { return fail("binary data"); }
  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const Json::exception& /*error*/) override {
    if (problem.empty()) problem = str_cat("not valid JSON at byte ", position);
    return false;
  }

 private:
  static constexpr int kMostLists = 10'000;

  static bool is_plain_name(const std::string& name) {
    constexpr const char* kEnding = ".safetensors";
    constexpr std::size_t kLength = 12;
    if (name.size() <= kLength || name.size() > 255 || name.front() == '.') return false;
    if (name.compare(name.size() - kLength, kLength, kEnding) != 0) return false;
    return name.find_first_of(std::string("/\\\0", 3)) == std::string::npos;
  }
  bool other() { return !in_map_ || fail("something that is no file name"); }
  bool fail(const std::string& what) {
    if (problem.empty()) problem = str_cat(what, " (at '", printable(name_), "')");
    return false;
  }

  int depth_ = 0;
  int lists_ = 0;
  bool in_map_ = false;
  std::string name_;
};

}  // namespace

StatusOr<ShardMap> parse_shard_index(const std::string& text) {
  IndexReader reader;
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos || text[begin] != '{')
    return data_loss("the index does not begin with '{'");
  if (!Json::sax_parse(text, &reader)) return data_loss("the index has ", reader.problem);
  if (!reader.has_map) return data_loss("the index has no weight_map");
  if (reader.files.empty()) return data_loss("the index' weight_map is empty");
  return std::move(reader.files);
}

std::string render_shard_index(const ShardMap& files, std::uint64_t total_bytes) {
  nlohmann::ordered_json index;
  index["metadata"]["total_size"] = total_bytes;
  index["weight_map"] = files;
  return index.dump(2) + "\n";
}

}  // namespace titan
