// rank_file.h: what one rank's file of a checkpoint will hold: a safetensors file of 1-D tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/checkpoint/checkpoint_index.h"
#include "titan/checkpoint/checkpoint_item.h"
#include "titan/checkpoint/file_writer.h"

namespace titan::checkpoint {

/// The file's bytes as pieces of memory (the header, then every fragment), and an index of it
/// alone, without checksums and meta.
struct RankFile {
  std::string name;
  CheckpointIndex index;
  std::shared_ptr<const std::string> header;
  std::vector<parallel::FlatValues>
      tensors;  ///< by place in the file; they share the items' storage
  std::uint64_t size_bytes = 0;

  /// Nothing to write: this rank holds no fragments.
  bool empty() const { return tensors.empty(); }
  /// Waits for what the devices of the tensors still compute: another thread will read them.
  void await_device() const;
  /// The bytes, read from the items when they are written (copied piece by piece from a device).
  std::vector<FilePiece> pieces() const;
};

/// Lays out the items' fragments: larger elements first, which keeps every tensor aligned.
StatusOr<RankFile> plan_rank_file(const std::string& name,
                                  const std::vector<CheckpointItem>& items);

}  // namespace titan::checkpoint
