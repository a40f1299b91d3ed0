#include "titan/io/shard_writer.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "titan/io/atomic_file.h"
#include "titan/io/safetensors_header.h"
#include "titan/io/shard_index.h"

namespace titan {

StatusOr<ShardPlan> plan_one_file(const std::string& path, std::vector<TensorSpec> tensors) {
  ShardPlan plan;
  for (const TensorSpec& tensor : tensors) {
    TITAN_ASSIGN_OR_RETURN(const std::uint64_t size, tensor_size_bytes(tensor.type, tensor.shape));
    plan.total_bytes += size;
  }
  plan.shards.push_back({path, std::move(tensors)});
  return plan;
}

StatusOr<ShardPlan> plan_shards(const std::string& folder, const std::string& stem,
                                std::vector<TensorSpec> tensors, std::uint64_t max_bytes) {
  ShardPlan plan;
  std::uint64_t used = 0;
  for (TensorSpec& tensor : tensors) {
    TITAN_ASSIGN_OR_RETURN(const std::uint64_t size, tensor_size_bytes(tensor.type, tensor.shape));
    if (plan.shards.empty() || (used > 0 && (used > max_bytes || size > max_bytes - used))) {
      plan.shards.emplace_back();
      used = 0;
    }
    plan.shards.back().tensors.push_back(std::move(tensor));
    used += size;
    plan.total_bytes += size;
  }
  if (plan.shards.empty()) plan.shards.emplace_back();
  const std::filesystem::path place(folder);
  if (plan.shards.size() == 1) {
    plan.shards[0].path = (place / (stem + ".safetensors")).string();
    return plan;
  }
  for (std::size_t i = 0; i < plan.shards.size(); ++i) {
    char number[48];
    std::snprintf(number, sizeof number, "-%05zu-of-%05zu.safetensors", i + 1, plan.shards.size());
    plan.shards[i].path = (place / (stem + number)).string();
  }
  plan.index_path = (place / (stem + ".safetensors.index.json")).string();
  return plan;
}

StatusOr<std::unique_ptr<ShardWriter>> ShardWriter::create(
    ShardPlan plan, const std::map<std::string, std::string>& metadata) {
  std::unique_ptr<ShardWriter> writer(new ShardWriter(std::move(plan), metadata));
  TITAN_RETURN_IF_ERROR(writer->open_next());
  return writer;
}

Status ShardWriter::open_next() {
  const ShardPlan::Shard& shard = plan_.shards[next_++];
  TITAN_ASSIGN_OR_RETURN(file_, SafetensorsWriter::create(shard.path, shard.tensors, metadata_));
  return ok_status();
}

/// Closes files that are full and opens the next, up to one that wants bytes (or the last).
Status ShardWriter::close_full() {
  while (file_->remaining_bytes() == 0 && next_ < plan_.shards.size()) {
    TITAN_RETURN_IF_ERROR(file_->finish().status());
    TITAN_RETURN_IF_ERROR(open_next());
  }
  return ok_status();
}

Status ShardWriter::write(const void* data, std::size_t size_bytes) {
  const auto* next = static_cast<const std::byte*>(data);
  while (size_bytes > 0) {
    TITAN_RETURN_IF_ERROR(close_full());
    const auto piece = static_cast<std::size_t>(
        std::min<std::uint64_t>(size_bytes, std::max<std::uint64_t>(1, file_->remaining_bytes())));
    TITAN_RETURN_IF_ERROR(file_->write(next, piece));
    next += piece;
    size_bytes -= piece;
  }
  return ok_status();
}

Status ShardWriter::finish() {
  TITAN_RETURN_IF_ERROR(close_full());
  TITAN_RETURN_IF_ERROR(file_->finish().status());
  if (plan_.index_path.empty()) return ok_status();
  ShardMap files;
  for (const ShardPlan::Shard& shard : plan_.shards)
    for (const TensorSpec& tensor : shard.tensors)
      files[tensor.name] = std::filesystem::path(shard.path).filename().string();
  return write_file_atomically(plan_.index_path, render_shard_index(files, plan_.total_bytes));
}

}  // namespace titan
