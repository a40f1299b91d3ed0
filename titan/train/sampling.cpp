#include "titan/train/sampling.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "titan/base/check.h"
#include "titan/base/trace.h"
#include "titan/io/image_grid.h"
#include "titan/io/image_write.h"
#include "titan/ops/philox.h"
#include "titan/parallel/communicator.h"

namespace titan {
namespace {

Conditioning to_device(Conditioning condition, c10::Device device) {
  for (NamedTensors::Entry& entry : condition) entry.second = entry.second.to(device);
  return condition;
}

Conditioning rows(const Conditioning& condition, int64_t begin, int64_t end) {
  Conditioning part;
  for (const NamedTensors::Entry& entry : condition)
    part.set(entry.first, entry.second.slice(0, begin, end));
  return part;
}

/// What pictures [begin, end) are conditioned on.
SamplingCondition condition_of(const ModelSpec& spec, const DataShape& shape,
                               const SamplePlan& plan, int64_t begin, int64_t end) {
  if (plan.encoded) {
    return {rows(plan.encoded->condition, begin, end),
            rows(plan.encoded->null_condition, begin, end)};
  }
  const std::vector<int64_t> classes(plan.classes.begin() + begin, plan.classes.begin() + end);
  const std::vector<int64_t> null_classes(classes.size(), shape.num_classes);
  return {spec.condition(classes, shape), spec.condition(null_classes, shape)};
}

/// Leaves a sampler, which knows nothing of stopping, between two of its steps.
struct Stopped {};

/// Draws pictures [begin, end) at one guidance scale: [end - begin, C, H, W] on the device.
at::Tensor draw_chunk(BlockRunner& runner, const Sampler& sampler, const ModelSpec& spec,
                      const DataShape& shape, const SamplePlan& plan, double guidance,
                      int64_t begin, int64_t end, c10::Device device,
                      const std::function<bool()>& stop) {
  const SamplingCondition condition = condition_of(spec, shape, plan, begin, end);
  const at::Tensor number =
      at::arange(plan.first + begin, plan.first + end, at::TensorOptions(at::kLong).device(device));
  const at::Tensor noise = ops::philox_normal(number, number.new_zeros(number.sizes()), shape.image,
                                              plan.seed, RandomPurpose::kSampling);
  const DenoiseFunction denoise = [&](const at::Tensor& x_t, const at::Tensor& t,
                                      const Conditioning& given) {
    if (stop && stop()) throw Stopped();
    return runner.forward(x_t, t, given);
  };
  return sampler.sample(denoise, noise, to_device(condition.condition, device),
                        to_device(condition.null_condition, device),
                        {.steps = plan.steps, .guidance = guidance});
}

/// Bytes of a [C, H, W] tensor in [0, 255], [H, W, C] contiguous.
at::Tensor to_bytes(const at::Tensor& chw) {
  return (chw * 127.5 + 127.5).round().clamp(0, 255).to(at::kByte).permute({1, 2, 0}).contiguous();
}

/// Each channel stretched to [-1, 1].
at::Tensor stretched(const at::Tensor& chw) {
  const at::Tensor low = chw.amin({1, 2}, /*keepdim=*/true);
  const at::Tensor high = chw.amax({1, 2}, /*keepdim=*/true);
  return (chw - low) / (high - low).clamp_min(1e-6) * 2 - 1;
}

}  // namespace

int64_t SamplePlan::count() const {
  return encoded && !encoded->condition.empty() ? encoded->condition.begin()->second.size(0)
                                                : static_cast<int64_t>(classes.size());
}

std::vector<int64_t> classes_to_draw(const std::vector<int64_t>& wanted, int64_t count,
                                     int64_t num_classes) {
  std::vector<int64_t> classes;
  for (int64_t k = 0; k < count; ++k) {
    classes.push_back(wanted.empty() ? k % std::max<int64_t>(num_classes, 1)
                                     : wanted[static_cast<std::size_t>(k) % wanted.size()]);
  }
  return classes;
}

StatusOr<std::vector<at::Tensor>> draw_samples(BlockRunner& runner, const ModelSpec& spec,
                                               const JobConfig& config, const DataShape& shape,
                                               const SamplePlan& plan, c10::Device device,
                                               parallel::Communicator& communicator,
                                               const std::function<bool()>& stop) try {
  for (const int64_t id : plan.classes) {
    if (id < 0 || id > shape.num_classes) {
      return invalid_argument("[sampling] class ", id, " is out of range (the model has ",
                              shape.num_classes, " classes)");
    }
  }
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<Sampler> sampler, spec.sampler(config));
  const int64_t count = plan.count();
  std::vector<int64_t> sizes = shape.image;
  sizes.insert(sizes.begin(), count);

  std::vector<at::Tensor> drawn;
  for (const double guidance : plan.guidance) {
    const at::Tensor pictures = at::zeros(sizes, at::kFloat);
    const int64_t round = communicator.size() * plan.chunk;
    for (int64_t start = 0; start < count; start += round) {
      // Every rank runs the model as often as the others, which may wait for its parameters: one
      // without pictures left draws the first ones again and drops them.
      const int64_t mine = start + communicator.rank() * plan.chunk;
      const int64_t begin = mine < count ? mine : 0;
      const int64_t end = std::min(begin + plan.chunk, count);
      const at::Tensor chunk =
          draw_chunk(runner, *sampler, spec, shape, plan, guidance, begin, end, device, stop);
      if (mine < count) pictures.slice(0, begin, end).copy_(chunk);
    }
    // Every picture is zero on all ranks but one, so the sum is exact.
    communicator.all_reduce_(pictures);
    drawn.push_back(pictures);
  }
  return drawn;
} catch (const Stopped&) {
  return Status(absl::StatusCode::kCancelled, "[sampling] stopped");
}

at::Tensor decode_samples(const at::Tensor& drawn, const BatchEncoder* encoder, int64_t chunk,
                          c10::Device device) {
  if (encoder == nullptr || !encoder->decodes()) return drawn;
  std::vector<at::Tensor> pictures;
  for (const at::Tensor& part : drawn.split(chunk)) {
    const TraceSpan span("decode");
    pictures.push_back(encoder->decode(part.to(device)).to(at::kCPU));
  }
  return at::cat(pictures);
}

Image to_image(const at::Tensor& chw) {
  TITAN_CHECK(chw.dim() == 3, "[sampling] a picture is [C, H, W] (shape ", chw.sizes(), ")");
  at::Tensor rgb = chw.to(at::kCPU, at::kFloat);
  if (rgb.size(0) < 3) {
    rgb = rgb.slice(0, 0, 1).expand({3, rgb.size(1), rgb.size(2)});
  } else if (rgb.size(0) > 3) {
    rgb = stretched(rgb.slice(0, 0, 3));
  }
  const at::Tensor bytes = to_bytes(rgb);
  Image image(static_cast<int>(bytes.size(1)), static_cast<int>(bytes.size(0)), PixelMode::kRgb);
  std::memcpy(image.pixels.data(), bytes.const_data_ptr<std::uint8_t>(), image.pixels.size());
  return image;
}

std::string guidance_heading(double scale) {
  char text[32];
  std::snprintf(text, sizeof text, "guidance %.3g", scale);
  return text;
}

Status write_sample_grid(const std::string& path, const std::vector<SampleGroup>& groups,
                         const std::vector<std::string>& labels, const PngText& text) {
  std::vector<TileGroup> tiles;
  for (const SampleGroup& group : groups) {
    TileGroup& out = tiles.emplace_back();
    out.heading = group.heading;
    for (int64_t k = 0; k < group.pictures.size(0); ++k)
      out.tiles.push_back({to_image(group.pictures[k]), labels[static_cast<std::size_t>(k)]});
  }
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(),
                                      error);  // write_png reports what is wrong
  return write_png(path, compose_grid(tiles, {}), text);
}

}  // namespace titan
