#include "titan/io/zstd_file.h"

#include <zstd.h>

#include <memory>
#include <vector>

#include "titan/io/atomic_file.h"
#include "titan/io/mapped_file.h"

namespace titan {

Status unpack_zstd(const std::string& zip_path, const std::string& path, std::uint64_t raw_bytes) {
  TITAN_ASSIGN_OR_RETURN(const MappedFile zip, MappedFile::open(zip_path));
  const auto refuse = [&](const auto&... why) {
    return data_loss("[zstd] ", zip_path, " ", why...);
  };
  const std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(),
                                                                     ZSTD_freeDCtx);
  TITAN_CHECK(context != nullptr, "[zstd] out of memory");
  TITAN_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::create(path));
  std::vector<char> buffer(ZSTD_DStreamOutSize());
  ZSTD_inBuffer in{zip.data(), zip.size(), 0};
  std::uint64_t written = 0;
  std::size_t left = 1;  // 0 at the end of a frame
  for (;;) {
    ZSTD_outBuffer out{buffer.data(), buffer.size(), 0};
    left = ZSTD_decompressStream(context.get(), &out, &in);
    if (ZSTD_isError(left) != 0) return refuse("is damaged (", ZSTD_getErrorName(left), ")");
    written += out.pos;
    if (written > raw_bytes) return refuse("holds more than the ", raw_bytes, " bytes announced");
    TITAN_RETURN_IF_ERROR(file.write(buffer.data(), out.pos));
    if (in.pos == in.size && out.pos < out.size) break;
  }
  if (left != 0) return refuse("ends early (", written, " of ", raw_bytes, " bytes)");
  if (written != raw_bytes) return refuse("holds ", written, " bytes, announced were ", raw_bytes);
  return file.commit();
}

}  // namespace titan
