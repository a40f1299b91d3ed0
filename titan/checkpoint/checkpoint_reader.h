// checkpoint_reader.h: reads one checkpoint into any layout.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/checkpoint/checkpoint_index.h"
#include "titan/parallel/flat_parameters.h"

namespace titan::checkpoint {

/// A flat buffer with the fragments it holds; they are stored under the keys "<prefix>.<fragment
/// name>".
struct CheckpointItem {
  std::string prefix;  ///< "model", "ema", "optim.exp_avg", "optim.exp_avg_sq"
  at::Tensor flat;     ///< 1-D, any device
  std::vector<parallel::Fragment> fragments;

  std::string key(const parallel::Fragment& fragment) const { return prefix + "." + fragment.name; }
};

/// One item per unit, e.g. items_of("model", parameters.units(), &FlatUnit::master).
std::vector<CheckpointItem> items_of(const std::string& prefix,
                                     const std::vector<parallel::FlatUnit>& units,
                                     at::Tensor parallel::FlatUnit::*buffer);
/// The same for buffers kept elsewhere, one per unit, in order.
std::vector<CheckpointItem> items_of(const std::string& prefix,
                                     const std::vector<parallel::FlatUnit>& units,
                                     const std::vector<at::Tensor>& buffers);

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
  Status verify() const;
  /// Fills the items' flat buffers, whatever the fragments of either side. The files that are
  /// needed are verified first, so a damaged one changes nothing. A missing key, another shape or
  /// dtype, a gap are errors that name the key.
  Status load(const std::vector<CheckpointItem>& items) const;
  /// A whole tensor on the CPU; absent is kNotFound. Does not verify the file: call verify() first.
  StatusOr<at::Tensor> read_whole(const std::string& key) const;

 private:
  CheckpointReader(std::string folder, CheckpointIndex index)
      : folder_(std::move(folder)), index_(std::move(index)) {}
  Status verify_file(const std::string& name) const;
  StatusOr<const StoredTensor*> find(const std::string& key) const;

  std::string folder_;
  CheckpointIndex index_;
};

}  // namespace titan::checkpoint
