#include "titan/data/text_coding.h"

#include <zstd.h>

#include <cstdint>
#include <cstring>
#include <memory>

namespace titan {
namespace {

/// Higher levels gain nothing here: what is left are the mantissas' noise (measured, levels 1 to
/// 9).
constexpr int kLevel = 1;

struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};

}  // namespace

std::vector<std::byte> code_text(std::span<const std::byte> values, std::size_t width) {
  const std::size_t count = values.size() / 2;
  std::vector<std::uint8_t> planes(values.size());
  const auto* in = reinterpret_cast<const std::uint8_t*>(values.data());
  for (std::size_t i = 0; i < count; ++i) {
    const bool first = i < width;
    planes[i] = in[2 * i] ^ (first ? std::uint8_t{0} : in[2 * (i - width)]);
    planes[count + i] = in[2 * i + 1] ^ (first ? std::uint8_t{0} : in[2 * (i - width) + 1]);
  }
  const std::unique_ptr<ZSTD_CCtx, FreeContext> context(ZSTD_createCCtx());
  TITAN_CHECK(context != nullptr, "[zstd] no memory for a context");
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, kLevel);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
  std::vector<std::byte> coded(ZSTD_compressBound(planes.size()));
  const std::size_t bytes =
      ZSTD_compress2(context.get(), coded.data(), coded.size(), planes.data(), planes.size());
  TITAN_CHECK(ZSTD_isError(bytes) == 0, "[zstd] ", ZSTD_getErrorName(bytes));
  coded.resize(bytes);
  return coded;
}

Status decode_text(std::span<const std::byte> coded, std::size_t width, std::span<std::byte> out) {
  // Kept by the thread that reads: two megabytes of fresh pages for each row would cost more than
  // the decoding.
  thread_local std::vector<std::uint8_t> planes;
  // Before memory is taken for a size that only rows.json claims.
  if (ZSTD_getFrameContentSize(coded.data(), coded.size()) != out.size())
    return data_loss("text encodings are damaged (not of ", out.size(), " bytes)");
  planes.resize(out.size());
  const std::size_t bytes =
      ZSTD_decompress(planes.data(), planes.size(), coded.data(), coded.size());
  if (ZSTD_isError(bytes) != 0)
    return data_loss("text encodings are damaged (zstd: ", ZSTD_getErrorName(bytes), ")");
  if (bytes != out.size())
    return data_loss("text encodings are damaged (", bytes, " bytes, not ", out.size(), ")");
  const std::size_t count = out.size() / 2;
  const std::uint8_t* low = planes.data();
  const std::uint8_t* high = low + count;
  std::vector<std::uint16_t> last(width, 0);
  for (std::size_t begin = 0; begin + width <= count; begin += width) {
    for (std::size_t i = 0; i < width; ++i)
      last[i] = static_cast<std::uint16_t>(last[i] ^ (low[begin + i] | high[begin + i] << 8));
    std::memcpy(out.data() + 2 * begin, last.data(), 2 * width);
  }
  return ok_status();
}

}  // namespace titan
