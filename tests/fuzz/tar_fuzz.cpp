// A tar: the walk over its headers, its samples, and their bytes.
#include "tests/fuzz/fuzz_target.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/tar_index.h"
#include "titan/io/tar_scan.h"

TITAN_FUZZ_INPUT(tar) {
  using namespace titan;
  static fuzz::MemoryFile memory;
  const std::string& path = memory.fill(data, size);
  const StatusOr<FileDescriptor> file = FileDescriptor::open_for_reading(path);
  TITAN_FUZZ_CHECK(file.ok());
  const StatusOr<TarScan> scan = scan_tar(*file, size, path);
  if (!scan.ok()) return 0;
  std::string bytes;
  for (const TarSample& sample : group_samples(*scan)) {
    fuzz::touch(sample.key);
    for (const TarField& field : sample.fields) {
      TITAN_FUZZ_CHECK(field.offset <= size && field.size_bytes <= size - field.offset);
      bytes.resize(field.size_bytes);
      TITAN_FUZZ_CHECK(read_exactly(*file, field.offset, bytes.data(), bytes.size(), path).ok());
    }
  }
  return 0;
}
