// shard_index.h: model.safetensors.index.json (pytorch_model.bin.index.json), which says in which
// of several files each tensor lies: {"metadata": {...}, "weight_map": {tensor: file}}. No torch.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan {

/// File (a plain name, in the index' own folder) by tensor.
using ShardMap = std::map<std::string, std::string>;

constexpr const char* kSafetensorsEnding = ".safetensors";
constexpr const char* kTorchEnding = ".bin";

/// Parses and checks an index: JSON of the known form, no name twice, and no file name that could
/// lead out of the folder or has another `ending`. kDataLoss says what does not fit.
StatusOr<ShardMap> parse_shard_index(const std::string& text,
                                     const std::string& ending = kSafetensorsEnding);

/// Reads the index at `path` and looks whether its files lie beside it: kNotFound names all that
/// do not. `speaker` begins the messages.
StatusOr<ShardMap> read_shard_index(const std::string& path, const std::string& ending,
                                    const std::string& speaker);

/// The files of an index, each once, sorted.
std::vector<std::string> files_of(const ShardMap& index);

/// Compares an index with what its files hold.
class ShardCheck {
 public:
  explicit ShardCheck(const ShardMap& index) : index_(index) {}
  /// `file` holds this tensor.
  void add(const std::string& tensor, const std::string& file);
  /// kDataLoss names what is elsewhere than listed, not listed or not there.
  Status result(const std::string& index_path, const std::string& speaker) const;

 private:
  const ShardMap& index_;
  std::set<std::string> found_;
  std::vector<std::string> unlisted_, misplaced_;
};

/// The text of an index; `total_bytes` is the size of all tensors.
std::string render_shard_index(const ShardMap& files, std::uint64_t total_bytes);

}  // namespace titan
