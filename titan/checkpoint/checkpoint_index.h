// checkpoint: saving a run and going on from it, bit for bit, on any layout. A checkpoint is a
// folder:
//   step-000100/index.json            what is where, written last
//   step-000100/rank-00000.safetensors, ...   1-D pieces ("fragments") of tensors
// Includes parallel and below; knows nothing of trainers.
//
// checkpoint_index.h: index.json as a struct.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan::checkpoint {

/// What a run must know to go on, beside tensors.
struct CheckpointMeta {
  int64_t step = 0;    ///< optimizer steps done
  int64_t cursor = 0;  ///< global sample cursor of the next step
  uint64_t seed = 0;
  int64_t world_size = 1;  ///< of the run that saved; any other may load
  /// What must not change unseen, as text: "model", "dataset", "objective", "global_batch_size",
  /// "seed", ...
  std::map<std::string, std::string> fingerprints = {};
};

/// Where a run of elements of a tensor (row-major) is stored.
struct StoredFragment {
  std::string file;    ///< name inside the checkpoint's folder
  std::string tensor;  ///< name inside the file
  int64_t offset = 0;  ///< first element, within the whole tensor
  int64_t length = 0;
};
struct StoredTensor {
  std::string dtype;  ///< safetensors' name: "F32"
  std::vector<int64_t> shape = {};
  std::vector<StoredFragment> fragments = {};  ///< by offset, without overlap
};
/// A file and what its bytes hash to: as a whole, and block by block, so that a rank that needs a
/// part of it reads and verifies that part alone.
struct StoredFile {
  uint64_t size_bytes = 0;
  std::string xxh3_128;      ///< of all bytes, 32 hex digits (what `xxh128sum` prints)
  uint64_t block_bytes = 0;  ///< 0 = `blocks` is empty (written before there were blocks)
  std::string blocks = {};   ///< XXH3-128 of each block, 32 hex digits each; the last may be short

  uint64_t num_blocks() const {
    return block_bytes == 0 ? 0 : (size_bytes + block_bytes - 1) / block_bytes;
  }
};

struct CheckpointIndex {
  static constexpr int kVersion = 1;
  CheckpointMeta meta;
  std::map<std::string, StoredFile> files;  ///< by name
  std::map<std::string, StoredTensor>
      tensors;  ///< by key: "model.<name>", "optim.exp_avg.<name>", ...

  /// Takes over the files and fragments of another rank; an error where they contradict each other.
  Status merge(const CheckpointIndex& other);
  /// Checks that no fragments overlap or leave their tensor; sorts them.
  Status normalize();
  /// An error that names a tensor of which elements are in no fragment. After normalize().
  Status check_complete() const;
};

/// JSON text with a checksum of its own.
std::string to_json(const CheckpointIndex& index);
/// Reads and checks it completely; `speaker` names the file in errors (kDataLoss;
/// kFailedPrecondition for a newer version).
StatusOr<CheckpointIndex> index_from_json(const std::string& text, const std::string& speaker);

/// Elements of a tensor of this shape; an error for negative sizes and overflow.
StatusOr<int64_t> num_elements(const std::vector<int64_t>& shape);

}  // namespace titan::checkpoint
