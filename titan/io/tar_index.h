// tar_index.h: the samples of a webdataset tar, found without reading its data again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/mapped_file.h"
#include "titan/io/tar_scan.h"

namespace titan {

/// One member of a sample.
struct TarField {
  std::string extension;  ///< lower case, without the first dot: "jpg", "left.png"
  std::uint64_t offset = 0;
  std::uint64_t size_bytes = 0;
};

/// Consecutive members whose path up to the first dot of the base name is the same.
struct TarSample {
  std::string key;
  std::vector<TarField> fields;  ///< in stored order
  bool damaged = false;          ///< the archive breaks off inside this sample: members are missing

  /// nullptr where the sample has no such member.
  const TarField* find(const std::string& extension) const;
};

/// Groups members as the datasets library does: base names that begin with '.' or "__" or have no
/// extension are skipped, extensions are lower-cased, a repeated member replaces the earlier one, a
/// key that comes again later is a new sample. Damage marks the sample that it cut.
std::vector<TarSample> group_samples(const TarScan& scan);

/// Index of one tar: built by walking the headers once, then kept in a file that is mapped, not
/// loaded (ranks share its pages; 10 million samples cost no memory). The file lies beside the tar
/// (`.<name>.index`), or, where that place is read-only, in the cache folder; it counts as long as
/// path, size and modification time of the tar are the same. A compressed tar is unpacked once into
/// the cache folder.
class TarIndex {
 public:
  static StatusOr<TarIndex> open(const std::string& path);

  int64_t num_samples() const;
  /// Sample `i` in [0, num_samples()). Throws titan::Error on a broken index file.
  TarSample sample(int64_t i) const;

  /// The tar itself, and the file that field offsets refer to (another one if the tar is
  /// compressed).
  const std::string& path() const { return path_; }
  const std::string& data_path() const { return data_path_; }
  /// Bytes of the tar.
  std::uint64_t size_bytes() const;
  /// Empty, or what is wrong with the tar, naming tar and member.
  std::string damage() const;
  /// True if this call walked the tar, false if a stored index was used.
  bool was_built() const { return was_built_; }

 private:
  std::string path_;
  std::string data_path_;
  std::variant<std::string, MappedFile> bytes_;
  bool was_built_ = false;

  const char* data() const;
  std::size_t size() const;
  friend struct TarIndexFile;
};

}  // namespace titan
