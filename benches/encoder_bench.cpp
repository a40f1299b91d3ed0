// Forward passes of the frozen networks on the CPU, so that scripts/bench_encoders.py can take
// turns between this program and PyTorch in one run.
//
//   encoder_bench t5|clip FOLDER BATCH LENGTH THREADS DTYPE     FOLDER: config.json and weights
//   encoder_bench encode|decode WEIGHTS BATCH SIDE THREADS DTYPE
//
// DTYPE is float32 or bfloat16; SIDE that of the images (encode) or the latents (decode). Says
// "ready", then answers each line "step" with "<seconds> <mean of the absolute outputs>".
#include <chrono>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <string>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "titan/base/check.h"
#include "titan/checkpoint/recipe_reader.h"
#include "titan/memory/cpu_allocator.h"
#include "titan/models/encoders/autoencoder.h"
#include "titan/models/encoders/clip_text.h"
#include "titan/models/encoders/t5.h"
#include "titan/train/run_weights.h"

namespace {

using namespace titan;

struct Arguments {
  std::string network, weights;
  int64_t batch, size;
  at::ScalarType dtype;
};

template <class Value>
Value value_or_throw(StatusOr<Value> result) {
  TITAN_CHECK(result.ok(), message_of(result.status()));
  return *std::move(result);
}

void load(const FrozenNetwork& network, const std::string& path) {
  std::vector<checkpoint::CheckpointItem> items;
  for (const auto& parameter : network.named_parameters()) {
    const at::Tensor& values = parameter.value();
    items.push_back(
        {.prefix = "model",
         .flat = values.view({-1}),
         .fragments = {
             {.name = parameter.key(), .shape = values.sizes().vec(), .length = values.numel()}}});
  }
  const Status loaded = load_published_weights(path, *network.weight_formats(), items,
                                               checkpoint::tensors_of(items), /*verify=*/false);
  TITAN_CHECK(loaded.ok(), message_of(loaded));
}

/// The same as in scripts/torch_encoders.py.
at::Tensor make_ids(const Arguments& args, int64_t vocab) {
  return (at::arange(args.batch * args.size, at::kLong) * 7919)
      .remainder(vocab)
      .view({args.batch, args.size});
}
at::Tensor make_pixels(const Arguments& args, int64_t channels) {
  const int64_t count = args.batch * channels * args.size * args.size;
  return at::sin(at::arange(count, at::kDouble))
      .to(args.dtype)
      .view({args.batch, channels, args.size, args.size});
}

std::function<at::Tensor()> make_forward(const Arguments& args) {
  const auto options = at::TensorOptions().dtype(args.dtype);
  const std::string config_path = args.weights + "/config.json";
  if (args.network == "t5") {
    const auto config = value_or_throw(models::read_t5_config(config_path));
    const auto network = std::make_shared<models::T5Encoder>(config, options);
    load(*network, args.weights);
    return [network, ids = make_ids(args, config.vocab)] { return network->forward(ids); };
  }
  if (args.network == "clip") {
    const auto config = value_or_throw(models::read_clip_text_config(config_path));
    const auto network = std::make_shared<models::ClipTextEncoder>(config, options);
    load(*network, args.weights);
    return [network, ids = make_ids(args, config.vocab)] { return network->forward(ids); };
  }
  TITAN_CHECK(args.network == "encode" || args.network == "decode",
              "there is t5, clip, encode and decode, not ", args.network);
  const auto config = value_or_throw(models::read_autoencoder_config(args.weights));
  const auto network = std::make_shared<models::Autoencoder>(config, options);
  load(*network, args.weights);
  if (args.network == "encode") {
    return [network, image = make_pixels(args, config.in_channels)] {
      return network->encode(image).mean;
    };
  }
  return [network, z = make_pixels(args, config.z_channels)] { return network->decode(z); };
}

int serve(const Arguments& args) {
  const std::function<at::Tensor()> forward = make_forward(args);
  std::cout << "ready" << std::endl;
  for (std::string line; std::getline(std::cin, line) && line == "step";) {
    const auto start = std::chrono::steady_clock::now();
    const at::Tensor out = forward();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    std::cout << seconds.count() << " " << out.to(at::kDouble).abs().mean().item<double>()
              << std::endl;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    std::cerr << "usage: encoder_bench t5|clip|encode|decode WEIGHTS BATCH SIZE THREADS DTYPE\n";
    return 2;
  }
  titan::memory::install_cpu_allocator();
  at::set_num_threads(std::atoi(argv[5]));
  try {
    return serve({argv[1], argv[2], std::atoll(argv[3]), std::atoll(argv[4]),
                  std::string(argv[6]) == "bfloat16" ? at::kBFloat16 : at::kFloat});
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
