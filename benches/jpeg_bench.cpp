// CPU time of the image loader: decode, covering resize, and all the way to the float tensor. One
// thread.
//
//   jpeg_bench SIZE PASSES FILE...    prints one JSON object; scripts/bench_jpeg.py runs it beside
//   Pillow
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
  const auto load = [&](const Bytes& file) {
    titan::write_chw(titan::load_training_image(file, options, {}).value(), tensor.data());
    sum += tensor[0];
  };
  rate(files, 1, load);  // warm-up
  const double decode_rate = rate(files, passes, decode);
  const double resize_rate = rate(files, passes, resize);
  const double load_rate = rate(files, passes, load);
  std::printf("{\"decode\": %.2f, \"resize\": %.2f, \"tensor\": %.2f, \"sum\": %.3f}\n",
              decode_rate, resize_rate, load_rate, sum);
  return 0;
}
