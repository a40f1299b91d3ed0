#include "titan/io/image_resample.h"

#include <algorithm>
#include <cmath>

namespace titan::image_resample {
namespace {

/// Keys' cubic convolution with a = -0.5.
double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

std::int32_t round_to_fixed(double weight) {
  const double scaled = weight * (1 << kPrecisionBits);
  return static_cast<std::int32_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
}

std::uint8_t to_byte(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> kPrecisionBits, 0, 255));
}

constexpr std::int32_t kHalf = 1 << (kPrecisionBits - 1);

template <int kChannels>
void horizontal_row(const std::uint8_t* in, const Taps& taps, std::uint8_t* out) {
  const int num_positions = taps.end - taps.begin;
  for (int i = 0; i < num_positions; ++i, out += kChannels) {
    const std::uint8_t* pixel = in + static_cast<std::ptrdiff_t>(taps.first[i]) * kChannels;
    const std::int32_t* weight = taps.fixed.data() + static_cast<std::ptrdiff_t>(i) * taps.stride();
    std::int32_t sum[kChannels];
    std::fill_n(sum, kChannels, kHalf);
    for (int t = 0; t < taps.count[i]; ++t, pixel += kChannels)
      for (int c = 0; c < kChannels; ++c) sum[c] += pixel[c] * weight[t];
    for (int c = 0; c < kChannels; ++c) out[c] = to_byte(sum[c]);
  }
}

}  // namespace

Taps bicubic_taps(int in, int out, int begin, int end) {
  const double scale = static_cast<double>(in) / out;
  const double filter_scale = std::max(scale, 1.0);
  const double support = 2.0 * filter_scale;
  const int max_taps = static_cast<int>(std::ceil(support)) * 2 + 1;
  Taps taps;
  taps.begin = begin;
  taps.end = end;
  taps.max_groups = (max_taps + kTapGroup - 1) / kTapGroup;
  const auto num_positions = static_cast<std::size_t>(end - begin);
  const auto stride = static_cast<std::size_t>(taps.stride());
  taps.first.resize(num_positions);
  taps.count.resize(num_positions);
  taps.real.assign(num_positions * stride, 0.0);
  taps.fixed.assign(num_positions * stride, 0);
  taps.split.assign(num_positions * stride * 2, 0);
  for (std::size_t i = 0; i < num_positions; ++i) {
    const double center = (begin + static_cast<int>(i) + 0.5) * scale;
    const int first = std::max(static_cast<int>(center - support + 0.5), 0);
    const int last = std::min(static_cast<int>(center + support + 0.5), in);
    double* real = taps.real.data() + i * stride;
    double total = 0.0;
    // The factor and the order of these operations decide the last bit: they are Pillow's.
    const double shrink = 1.0 / filter_scale;
    for (int t = 0; t < last - first; ++t)
      total += real[t] = bicubic((t + first - center + 0.5) * shrink);
    for (int t = 0; t < last - first; ++t) {
      if (total != 0.0) real[t] /= total;
      const std::int32_t weight = round_to_fixed(real[t]);
      taps.fixed[i * stride + static_cast<std::size_t>(t)] = weight;
      std::int16_t* group =
          taps.split.data() + i * stride * 2 + static_cast<std::size_t>(t / kTapGroup) * 8;
      group[t % kTapGroup] = static_cast<std::int16_t>(weight >> kLowBits);
      group[kTapGroup + t % kTapGroup] = static_cast<std::int16_t>(weight & ((1 << kLowBits) - 1));
    }
    taps.first[i] = first;
    taps.count[i] = last - first;
  }
  return taps;
}

void horizontal_scalar(const HorizontalRows& rows, int channels, const Taps& taps) {
  for (int r = 0; r < rows.num_rows; ++r) {
    const std::uint8_t* in = rows.in + static_cast<std::size_t>(r) * rows.in_stride;
    std::uint8_t* out = rows.out + static_cast<std::size_t>(r) * rows.out_stride;
    switch (channels) {
      case 1:
        horizontal_row<1>(in, taps, out);
        break;
      case 2:
        horizontal_row<2>(in, taps, out);
        break;
      case 3:
        horizontal_row<3>(in, taps, out);
        break;
      default:
        horizontal_row<4>(in, taps, out);
        break;
    }
  }
}

void vertical_scalar(const std::uint8_t* in, std::size_t in_stride, std::size_t row_bytes,
                     const Taps& taps, int i, std::uint8_t* out) {
  const std::int32_t* weight = taps.fixed.data() + static_cast<std::ptrdiff_t>(i) * taps.stride();
  for (std::size_t x = 0; x < row_bytes; ++x) {
    std::int32_t sum = kHalf;
    for (int t = 0; t < taps.count[i]; ++t)
      sum += in[static_cast<std::size_t>(t) * in_stride + x] * weight[t];
    out[x] = to_byte(sum);
  }
}

}  // namespace titan::image_resample
