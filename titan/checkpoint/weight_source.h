// weight_source.h: weights on disk, wherever they come from, as whole named tensors of which any
// part can be read. No torch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/safetensors.h"

namespace titan::checkpoint {

class WeightSource {
 public:
  /// `path` is a file of safetensors or torch.save, an index of several, a folder with either
  /// (find_weight_file), a Hugging Face cache or a model's id (resolve_model_path); or of titan one
  /// checkpoint, a folder of checkpoints (the newest is taken) or a run folder; then `prefix` says
  /// which weights: "model" or "ema".
  static StatusOr<std::unique_ptr<WeightSource>> open(const std::string& path,
                                                      const std::string& prefix = "model");
  virtual ~WeightSource() = default;

  const std::vector<TensorSpec>& tensors() const { return tensors_; }
  /// nullptr where there is no such tensor.
  const TensorSpec* find(const std::string& name) const;
  /// The file or folder that was opened.
  const std::string& path() const { return path_; }
  /// Whether it is a checkpoint of titan.
  virtual bool is_checkpoint() const = 0;
  /// Reads all bytes and compares them with the checksums, where there are any.
  virtual Status verify() const { return ok_status(); }

  /// Copies elements [first, first + count) of a tensor (row-major), as they are stored. Pages that
  /// were read do not stay in the process' memory.
  virtual Status read(const std::string& name, int64_t first, int64_t count, void* out) = 0;

 protected:
  void set_tensors(std::vector<TensorSpec> tensors);
  std::string path_;

 private:
  std::vector<TensorSpec> tensors_;
  std::unordered_map<std::string, std::size_t> places_;  ///< by name, in tensors_
};

/// The folder of one checkpoint that `path` means (see WeightSource::open), "" where it means none.
StatusOr<std::string> checkpoint_of_path(const std::string& path);

}  // namespace titan::checkpoint
