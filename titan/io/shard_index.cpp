#include "titan/io/shard_index.h"

#include <filesystem>

#include <nlohmann/json.hpp>

#include "titan/base/printable.h"
#include "titan/io/file_descriptor.h"

namespace titan {
namespace {

using Json = nlohmann::json;

/// Reads the index as a stream of events: a hostile one is refused at the first thing that does not
/// belong, whatever its depth or length.
class IndexReader : public nlohmann::json_sax<Json> {
 public:
  explicit IndexReader(std::string ending) : ending_(std::move(ending)) {}

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
      return fail(
          str_cat("a file name that is not a plain ", ending_, " name ('", printable(value), "')"));
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

  bool is_plain_name(const std::string& name) const {
    if (name.size() <= ending_.size() || name.size() > 255 || name.front() == '.') return false;
    if (!name.ends_with(ending_)) return false;
    return name.find_first_of(std::string("/\\\0", 3)) == std::string::npos;
  }
  bool other() { return !in_map_ || fail("something that is no file name"); }
  bool fail(const std::string& what) {
    if (problem.empty()) problem = str_cat(what, " (at '", printable(name_), "')");
    return false;
  }

  std::string ending_;
  int depth_ = 0;
  int lists_ = 0;
  bool in_map_ = false;
  std::string name_;
};

}  // namespace

StatusOr<ShardMap> parse_shard_index(const std::string& text, const std::string& ending) {
  IndexReader reader(ending);
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos || text[begin] != '{')
    return data_loss("the index does not begin with '{'");
  if (!Json::sax_parse(text, &reader)) return data_loss("the index has ", reader.problem);
  if (!reader.has_map) return data_loss("the index has no weight_map");
  if (reader.files.empty()) return data_loss("the index' weight_map is empty");
  return std::move(reader.files);
}

StatusOr<ShardMap> read_shard_index(const std::string& path, const std::string& ending,
                                    const std::string& speaker) {
  constexpr std::uintmax_t kMaxIndexBytes = 256 << 20;
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (!error && size > kMaxIndexBytes)
    return data_loss(speaker, " ", path, " is too large for an index (", size, " bytes)");
  TITAN_ASSIGN_OR_RETURN(const std::string text, read_file(path));
  StatusOr<ShardMap> index = parse_shard_index(text, ending);
  if (!index.ok()) return annotate(index.status(), speaker + " " + path);
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::vector<std::string> absent;
  for (const std::string& name : files_of(*index))
    if (!std::filesystem::exists(folder / name, error)) absent.push_back(name);
  if (absent.empty()) return index;
  return not_found(speaker, " ", path, ": files that are missing beside it: ", listed(absent));
}

std::vector<std::string> files_of(const ShardMap& index) {
  std::set<std::string> names;
  for (const auto& [tensor, file] : index) names.insert(file);
  return {names.begin(), names.end()};
}

void ShardCheck::add(const std::string& tensor, const std::string& file) {
  const auto listed = index_.find(tensor);
  if (listed == index_.end()) {
    unlisted_.push_back(tensor + " in " + file);
  } else if (listed->second != file || !found_.insert(tensor).second) {
    misplaced_.push_back(tensor + " in " + file);
  }
}

Status ShardCheck::result(const std::string& index_path, const std::string& speaker) const {
  std::vector<std::string> lost;
  for (const auto& [tensor, file] : index_)
    if (!found_.contains(tensor)) lost.push_back(tensor + " in " + file);
  std::string problems;
  if (!lost.empty()) problems += " tensors that are not where it says: " + listed(lost) + ";";
  if (!unlisted_.empty()) problems += " tensors that it does not list: " + listed(unlisted_) + ";";
  if (!misplaced_.empty())
    problems += " tensors in another file than listed: " + listed(misplaced_) + ";";
  if (problems.empty()) return ok_status();
  problems.pop_back();
  return data_loss(speaker, " ", index_path, " does not fit its files:", problems);
}

std::string render_shard_index(const ShardMap& files, std::uint64_t total_bytes) {
  nlohmann::ordered_json index;
  index["metadata"]["total_size"] = total_bytes;
  index["weight_map"] = files;
  return index.dump(2) + "\n";
}

}  // namespace titan
