// A tar as a data set opens it: compressed or not, with an index that is stored and used again. The
// first part of the input, if the input has two, stands where the stored index would.
#include <filesystem>
#include <fstream>

#include "tests/fuzz/fuzz_target.h"
#include "titan/base/status.h"
#include "titan/io/tar_index.h"

namespace {

namespace fs = std::filesystem;

/// In memory; the cache folder lies in it.
const fs::path& folder() {
  static const struct Folder {
    fs::path path = "/dev/shm/titan-fuzz-tar-" + std::to_string(::getpid());
    Folder() {
      fs::create_directories(path);
      ::setenv("TITAN_CACHE", path.c_str(), 1);
    }
    ~Folder() { fs::remove_all(path); }
  } folder;
  return folder.path;
}

void write(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

void read_all(const std::string& path) {
  const titan::StatusOr<titan::TarIndex> index = titan::TarIndex::open(path);
  if (!index.ok()) return;
  titan::fuzz::touch(index->damage());
  try {
    for (int64_t i = 0; i < index->num_samples(); ++i) {
      const titan::TarSample sample = index->sample(i);
      for (const titan::TarField& field : sample.fields) titan::fuzz::touch(field.extension);
    }
  } catch (const titan::Error&) {  // the documented end of a broken index
  }
}

}  // namespace

TITAN_FUZZ_INPUT(tar_file) {
  const fs::path tar = folder() / "a.tar", index = folder() / ".a.tar.index";
  titan::fuzz::Parts parts(data, size);
  const std::string first = parts.next();
  const std::string second = parts.rest();
  fs::remove(index);
  write(tar, second.empty() ? first : second);
  if (!second.empty()) write(index, first);
  read_all(tar);
  read_all(tar);  // now from the stored index
  std::error_code ignored;
  fs::remove_all(folder() / "tar-index", ignored);
  return 0;
}
