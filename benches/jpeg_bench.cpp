// CPU time of the image loader: decode, covering resize, all the way to the float tensor, and the
// same with JPEGs decoded smaller (fast_jpeg), which also gives its PSNR. One thread.
//
//   jpeg_bench SIZE PASSES FILE...    prints one JSON object; scripts/bench_jpeg.py runs it beside
//   Pillow
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "titan/io/image_convert.h"
#include "titan/io/image_pipeline.h"
#include "titan/io/image_resize.h"

namespace {

using Bytes = std::vector<std::uint8_t>;

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// Images per CPU-second of `step` over all files, `passes` times.
template <class Step>
double rate(const std::vector<Bytes>& files, int passes, const Step& step) {
  const double start = cpu_seconds();
  for (int pass = 0; pass < passes; ++pass)
    for (const Bytes& file : files) step(file);
  return static_cast<double>(files.size()) * passes / (cpu_seconds() - start);
}

/// Peak signal-to-noise ratio in dB of 8-bit pixels; 99 where they are equal.
double psnr(const titan::Image& a, const titan::Image& b) {
  double squares = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i) {
    const double difference = static_cast<double>(a.pixels[i]) - b.pixels[i];
    squares += difference * difference;
  }
  constexpr double kEqual = 99;
  if (squares == 0) return kEqual;
  return 10 * std::log10(255.0 * 255.0 * static_cast<double>(a.pixels.size()) / squares);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: jpeg_bench SIZE PASSES FILE...\n");
    return 2;
  }
  const int size = std::atoi(argv[1]), passes = std::atoi(argv[2]);
  std::vector<Bytes> files;
  for (int i = 3; i < argc; ++i) {
    std::ifstream in(argv[i], std::ios::binary);
    files.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  titan::TrainingImageOptions options;
  options.width = options.height = size;
  options.crop = titan::CropRule::kCenter;
  std::vector<float> tensor(3 * static_cast<std::size_t>(size) * static_cast<std::size_t>(size));
  double sum = 0;  // keeps the work alive
  const auto decode = [&](const Bytes& file) {
    sum += titan::decode_image(file).value().pixels[0];
  };
  const auto resize = [&](const Bytes& file) {
    sum += titan::cover_resize(titan::to_rgb(titan::decode_image(file).value()), {size, size})
               .pixels[0];
  };
  const auto load_with = [&](const titan::TrainingImageOptions& how) {
    return [&](const Bytes& file) {
      titan::write_chw(titan::load_training_image(file, how, {}).value(), tensor.data());
      sum += tensor[0];
    };
  };
  titan::TrainingImageOptions fast = options;
  fast.fast_jpeg = true;
  const auto load = load_with(options);
  rate(files, 1, load);  // warm-up
  const double decode_rate = rate(files, passes, decode);
  const double resize_rate = rate(files, passes, resize);
  const double load_rate = rate(files, passes, load);
  const double fast_rate = rate(files, passes, load_with(fast));
  std::printf("{\"decode\": %.2f, \"resize\": %.2f, \"tensor\": %.2f, \"fast\": %.2f, \"psnr\": [",
              decode_rate, resize_rate, load_rate, fast_rate);
  for (std::size_t i = 0; i < files.size(); ++i)
    std::printf("%s%.2f", i == 0 ? "" : ", ",
                psnr(titan::load_training_image(files[i], fast, {}).value(),
                     titan::load_training_image(files[i], options, {}).value()));
  std::printf("], \"sum\": %.3f}\n", sum);
  return 0;
}
