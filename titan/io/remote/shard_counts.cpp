#include "titan/io/remote/shard_counts.h"

#include <nlohmann/json.hpp>

#include "titan/io/json_nesting.h"

namespace titan {
namespace {

using nlohmann::json;

bool is_index(const json& root) {
  return root.is_object() && root.contains("shardlist") && root["shardlist"].is_array();
}

}  // namespace

bool is_shard_counts(const std::string& text) {
  return !nests_too_deep(text) && is_index(json::parse(text, nullptr, /*allow_exceptions=*/false));
}

StatusOr<std::vector<ShardCount>> parse_shard_counts(const std::string& text,
                                                     const std::string& name) {
  if (nests_too_deep(text)) return data_loss("[shards] ", name, " nests lists or objects too deep");
  const json root = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!is_index(root))
    return data_loss("[shards] ", name,
                     " is no index of tars (a JSON object with a list \"shardlist\")");
  std::vector<ShardCount> shards;
  for (const json& entry : root["shardlist"]) {
    const bool usable = entry.is_object() && entry.contains("url") && entry["url"].is_string() &&
                        entry.contains("nsamples") && entry["nsamples"].is_number_unsigned();
    if (!usable)
      return data_loss("[shards] ", name, ": shard ", shards.size(),
                       " lacks \"url\" or a whole \"nsamples\"");
    ShardCount shard{.url = entry["url"].get<std::string>(),
                     .num_samples = entry["nsamples"].get<std::int64_t>(),
                     .size_bytes = {}};
    // 2^48 samples in one shard is no index, and sums of such counts would overflow.
    if (shard.num_samples < 0 || shard.num_samples > (std::int64_t{1} << 48) || shard.url.empty())
      return data_loss("[shards] ", name, ": shard ", shards.size(), " is malformed");
    if (entry.contains("filesize") && entry["filesize"].is_number_unsigned())
      shard.size_bytes = entry["filesize"].get<std::uint64_t>();
    shards.push_back(std::move(shard));
  }
  return shards;
}

std::string render_shard_counts(const std::vector<ShardCount>& shards) {
  json list = json::array();
  for (const ShardCount& shard : shards) {
    json entry = {{"url", shard.url}, {"nsamples", shard.num_samples}};
    if (shard.size_bytes) entry["filesize"] = *shard.size_bytes;
    list.push_back(std::move(entry));
  }
  const json root = {
      {"__kind__", "wids-shard-index-v1"}, {"wids_version", 1}, {"shardlist", std::move(list)}};
  return root.dump(1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace) + "\n";
}

}  // namespace titan
