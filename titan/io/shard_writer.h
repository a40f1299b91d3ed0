// shard_writer.h: tensors into one safetensors file, or into a folder of several with an index,
// piece by piece. No torch.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/safetensors.h"

namespace titan {

/// Where the tensors go: in this order, whole, into these files.
struct ShardPlan {
  struct Shard {
    std::string path;
    std::vector<TensorSpec> tensors;
  };
  std::vector<Shard> shards;
  std::string index_path;  ///< empty = no index (one file)
  std::uint64_t total_bytes = 0;
};

/// Everything into one file.
StatusOr<ShardPlan> plan_one_file(const std::string& path, std::vector<TensorSpec> tensors);
/// Files of at most `max_bytes` of tensors (a larger tensor has one alone) named
/// `<stem>-00001-of-00003.safetensors` with `<stem>.safetensors.index.json`; where one is enough,
/// `<stem>.safetensors` alone.
StatusOr<ShardPlan> plan_shards(const std::string& folder, const std::string& stem,
                                std::vector<TensorSpec> tensors, std::uint64_t max_bytes);

/// Takes the bytes of all tensors in the plan's order. Each file appears whole when its last byte
/// is there, the index last.
class ShardWriter {
 public:
  static StatusOr<std::unique_ptr<ShardWriter>> create(
      ShardPlan plan, const std::map<std::string, std::string>& metadata);

  /// Appends bytes; pieces need not end where tensors or files end.
  Status write(const void* data, std::size_t size_bytes);
  /// Once, after the last byte. Throws titan::Error where bytes are missing.
  Status finish();

 private:
  ShardWriter(ShardPlan plan, std::map<std::string, std::string> metadata)
      : plan_(std::move(plan)), metadata_(std::move(metadata)) {}
  Status open_next();
  Status close_full();

  ShardPlan plan_;
  std::map<std::string, std::string> metadata_;
  std::size_t next_ = 0;
  std::unique_ptr<SafetensorsWriter> file_;
};

}  // namespace titan
