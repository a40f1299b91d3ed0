// fragment_files.h: stored fragments as bytes of files: gathers what is wanted of each file, then
// reads every file once.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/checkpoint/checkpoint_index.h"
#include "titan/checkpoint/file_reader.h"
#include "titan/io/safetensors.h"
#include "titan/parallel/flat_values.h"

namespace titan::checkpoint {

/// How one rank reads a checkpoint.
struct LoadOptions {
  int threads = 1;
  VerifyShare verify = {};
};

/// Part of a stored fragment and where it goes. In elements.
struct FragmentPiece {
  const StoredFragment* source = nullptr;
  int64_t source_offset = 0;  ///< within the fragment
  int64_t target_offset = 0;  ///< within the wanted range
  int64_t length = 0;
};

class FragmentFiles {
 public:
  /// Both outlive this object.
  FragmentFiles(std::string folder, const CheckpointIndex& index, LoadOptions options)
      : folder_(std::move(folder)), index_(index), options_(options) {}

  /// Notes that `piece` of `tensor` goes into `target` (1-D, contiguous, any device), which rounds
  /// where it is narrower. Opens the file: its size is checked and its header verified before it is
  /// believed.
  Status add(const FragmentPiece& piece, const StoredTensor& tensor,
             const parallel::FlatValues& target);
  /// Reads all that was noted.
  Status read();

 private:
  struct File {
    SafetensorsFile header;
    std::vector<FileRange> ranges;
  };
  /// What goes to another device or type passes through host memory, a limited amount at a time.
  struct DeviceCopy {
    std::string file;
    FileRange range;
    at::ScalarType type;  ///< as stored
    parallel::FlatValues target;
  };
  StatusOr<File*> open(const std::string& name);
  Status read_to_devices();
  std::string path_of(const std::string& name) const { return folder_ + "/" + name; }

  std::string folder_;
  const CheckpointIndex& index_;
  LoadOptions options_;
  std::map<std::string, File> files_;
  std::vector<DeviceCopy> copies_;
};

}  // namespace titan::checkpoint
