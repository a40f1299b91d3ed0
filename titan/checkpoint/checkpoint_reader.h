// checkpoint_reader.h: reads one checkpoint into any layout.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/checkpoint/checkpoint_index.h"
#include "titan/checkpoint/checkpoint_item.h"
#include "titan/checkpoint/fragment_files.h"

namespace titan::checkpoint {

class CheckpointReader {
 public:
  /// Opens the folder of one checkpoint: reads and checks index.json. Damage is kDataLoss and names
  /// the file.
  static StatusOr<CheckpointReader> open(const std::string& step_folder);

  const CheckpointMeta& meta() const { return index_.meta; }
  /// Whether anything is stored under "<prefix>.".
  bool has_prefix(const std::string& prefix) const;
  /// Parameter names stored under "<prefix>.".
  std::vector<std::string> names(const std::string& prefix) const;

  /// Every file is there, with the size and XXH3-128 of the index. Reads all bytes.
  Status verify(int threads = 1) const;
  /// Fills the items' flat buffers, whatever the fragments of either side. Reads the blocks of the
  /// files that hold wanted elements, each once, and verifies them while they are in the cache. A
  /// missing key, another shape or dtype, a gap, a missing or cut file are errors that name the key
  /// or file, before anything is changed. Damaged bytes are found while they are copied: after such
  /// an error (kDataLoss, names the file) the items hold a mixture.
  Status load(const std::vector<CheckpointItem>& items, const LoadOptions& options = {}) const;
  /// A whole tensor on the CPU; absent is kNotFound. Verifies what it reads.
  StatusOr<at::Tensor> read_whole(const std::string& key) const;

 private:
  CheckpointReader(std::string folder, CheckpointIndex index)
      : folder_(std::move(folder)), index_(std::move(index)) {}
  StatusOr<const StoredTensor*> find(const std::string& key) const;
  struct WantedFragment {
    const StoredTensor* stored;
    std::vector<FragmentPiece> pieces;
    parallel::FlatValues target;
  };
  StatusOr<std::vector<WantedFragment>> find_all(const std::vector<CheckpointItem>& items) const;

  std::string folder_;
  CheckpointIndex index_;
};

}  // namespace titan::checkpoint
