#include "titan/tools/shapes.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "titan/base/check.h"
#include "titan/base/philox.h"

namespace titan {
namespace {

constexpr double kMaxAngle = 0.21;  ///< 12 degrees
constexpr double kEdge = 0.04;      ///< kept free between shape and border
constexpr double kNoiseLevels = 5;  ///< largest change of a pixel, of 255
constexpr int kSamplesPerSide = 4;  ///< 16 tests a pixel for its coverage

/// Uniform in [low, high), draw number `index` of a scene.
double draw(std::uint64_t seed, std::uint64_t sample, std::uint32_t index, double low,
            double high) {
  return low + (high - low) * random_uniform(seed, RandomPurpose::kSynthetic, sample, 0, index);
}

/// Position of sample in its run of ten -> class, by a shuffle keyed by the run.
int class_of(std::uint64_t seed, std::uint64_t sample) {
  std::array<int, kNumShapeClasses> order;
  for (int i = 0; i < kNumShapeClasses; ++i) order[static_cast<std::size_t>(i)] = i;
  const std::uint64_t run = sample / kNumShapeClasses;
  for (std::uint32_t i = kNumShapeClasses - 1; i > 0; --i)
    std::swap(order[i], order[random_below(i + 1, seed, RandomPurpose::kDataOrder, run, 0, i)]);
  return order[sample % kNumShapeClasses];
}

/// Share of each pixel that the shape covers.
class Coverage {
 public:
  Coverage(const ShapeScene& scene, int side)
      : shape_(shape_class(scene.label).shape),
        scale_(1.0 / (scene.radius * side)),
        center_x_(scene.center_x * side),
        center_y_(scene.center_y * side),
        cosine_(std::cos(scene.angle)),
        sine_(std::sin(scene.angle)) {}

  double at(int x, int y) const {
    const double middle_x = (x + 0.5 - center_x_) * scale_,
                 middle_y = (y + 0.5 - center_y_) * scale_;
    constexpr double kReach = 1.35;  // no outline goes further
    if (middle_x * middle_x + middle_y * middle_y > (kReach + scale_) * (kReach + scale_)) return 0;
    // Where the centre and the corners agree, so does the rest: only edges are worth sixteen tests.
    int corners = hit(middle_x, middle_y);
    for (const double v : {-0.5, 0.5})
      for (const double u : {-0.5, 0.5})
        corners += hit(middle_x + u * scale_, middle_y + v * scale_);
    if (corners == 0 || corners == 5) return corners / 5.0;
    int hits = 0;
    for (int j = 0; j < kSamplesPerSide; ++j)
      for (int i = 0; i < kSamplesPerSide; ++i)
        hits += hit(middle_x + ((i + 0.5) / kSamplesPerSide - 0.5) * scale_,
                    middle_y + ((j + 0.5) / kSamplesPerSide - 0.5) * scale_);
    return static_cast<double>(hits) / (kSamplesPerSide * kSamplesPerSide);
  }

 private:
  int hit(double dx, double dy) const {
    return inside_shape(shape_, cosine_ * dx + sine_ * dy, cosine_ * dy - sine_ * dx) ? 1 : 0;
  }

  Shape shape_;
  double scale_, center_x_, center_y_, cosine_, sine_;
};

std::uint8_t to_level(double value) {
  return static_cast<std::uint8_t>(std::clamp(value + 0.5, 0.0, 255.0));
}

}  // namespace

const ShapeClass& shape_class(int label) {
  TITAN_CHECK(label >= 0 && label < kNumShapeClasses, "[shapes] class must be below ",
              kNumShapeClasses, " (", label, ")");
  static constexpr std::array<ShapeClass, kNumShapeClasses> kClasses = {{
      {Shape::kCircle, "red", {215, 35, 40}},
      {Shape::kDiamond, "orange", {245, 135, 25}},
      {Shape::kStar, "yellow", {250, 225, 45}},
      {Shape::kSquare, "green", {45, 165, 65}},
      {Shape::kRing, "cyan", {40, 205, 215}},
      {Shape::kTriangle, "blue", {40, 75, 225}},
      {Shape::kCross, "purple", {125, 50, 190}},
      {Shape::kHeart, "pink", {250, 95, 190}},
      {Shape::kCrescent, "white", {248, 248, 248}},
      {Shape::kBar, "black", {12, 12, 12}},
  }};
  return kClasses[static_cast<std::size_t>(label)];
}

std::string shape_class_name(int label) {
  const ShapeClass& entry = shape_class(label);
  return str_cat(entry.color_name, " ", shape_name(entry.shape));
}

ShapeScene draw_scene(std::uint64_t seed, std::uint64_t sample) {
  ShapeScene scene;
  scene.label = class_of(seed, sample);
  scene.radius = draw(seed, sample, 0, kMinShapeRadius, kMaxShapeRadius);
  const double free = scene.radius * 1.05 + kEdge;
  scene.center_x = draw(seed, sample, 1, free, 1 - free);
  scene.center_y = draw(seed, sample, 2, free, 1 - free);
  scene.angle = draw(seed, sample, 3, -kMaxAngle, kMaxAngle);
  scene.background = draw(seed, sample, 4, 0.38, 0.62);
  scene.tilt_x = draw(seed, sample, 5, -0.08, 0.08);
  scene.tilt_y = draw(seed, sample, 6, -0.08, 0.08);
  scene.noise_seed = seed;
  scene.sample = sample;
  return scene;
}

Image render_scene(const ShapeScene& scene, int side) {
  Image image(side, side, PixelMode::kRgb);
  const Coverage coverage(scene, side);
  const Rgb& color = shape_class(scene.label).color;
  const std::uint64_t key = philox_key(scene.noise_seed, RandomPurpose::kNoise);
  for (int y = 0; y < side; ++y)
    for (int x = 0; x < side; ++x) {
      const double tone = 255 * (scene.background + scene.tilt_x * ((x + 0.5) / side - 0.5) +
                                 scene.tilt_y * ((y + 0.5) / side - 0.5));
      const double share = coverage.at(x, y);
      const PhiloxBlock bits =
          philox4x32(key, static_cast<std::uint32_t>(y * side + x), scene.sample, 0);
      const double noise =
          kNoiseLevels * (uniform_from_bits(bits.word[0]) + uniform_from_bits(bits.word[1]) - 1);
      std::uint8_t* pixel = image.row(y) + 3 * static_cast<std::size_t>(x);
      pixel[0] = to_level(tone + share * (color.red - tone) + noise);
      pixel[1] = to_level(tone + share * (color.green - tone) + noise);
      pixel[2] = to_level(tone + share * (color.blue - tone) + noise);
    }
  return image;
}

}  // namespace titan
