// A whole safetensors file.
#include "tests/fuzz/fuzz_target.h"
#include "titan/io/safetensors.h"

TITAN_FUZZ_INPUT(safetensors) {
  using namespace titan;
  static fuzz::MemoryFile file;
  const StatusOr<SafetensorsFile> opened = SafetensorsFile::open(file.fill(data, size));
  if (!opened.ok()) return 0;
  for (const TensorEntry& entry : opened->entries()) {
    TITAN_FUZZ_CHECK(fuzz::within({entry.data, entry.size_bytes}, opened->file().bytes()));
    fuzz::touch(entry.data, entry.size_bytes);
    TITAN_FUZZ_CHECK(opened->find(entry.name) == &entry);
  }
  return 0;
}
