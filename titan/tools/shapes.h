// shapes.h: pictures of one coloured shape on a grey background, with a class and a caption.
#pragma once

#include <cstdint>
#include <string>

#include "titan/io/image.h"
#include "titan/io/image_font.h"
#include "titan/tools/shape_outline.h"

namespace titan {

/// Ten classes; each has a shape and a colour that no other has, so both tell the class.
inline constexpr int kNumShapeClasses = 10;

/// Radius of a drawn shape, in parts of the picture's side.
inline constexpr double kMinShapeRadius = 0.26;
inline constexpr double kMaxShapeRadius = 0.38;

struct ShapeClass {
  Shape shape;
  const char* color_name;
  Rgb color;
};

/// Class `label` in [0, kNumShapeClasses).
const ShapeClass& shape_class(int label);

/// "red circle"
std::string shape_class_name(int label);

/// One picture before it is drawn; lengths in parts of its side.
struct ShapeScene {
  int label = 0;
  double center_x = 0.5;
  double center_y = 0.5;
  double radius = 0.3;
  double angle = 0;         ///< radians, clockwise
  double background = 0.5;  ///< grey tone, 0 to 1
  double tilt_x = 0;        ///< change of tone from left to right
  double tilt_y = 0;        ///< change of tone from top to bottom
  std::uint64_t noise_seed = 0;
  std::uint64_t sample = 0;
};

/// Scene number `sample` of a data set: a pure function of both. Every run of ten samples holds
/// each class once.
ShapeScene draw_scene(std::uint64_t seed, std::uint64_t sample);

/// "a small red circle in the upper left on a dark grey background"; other wordings:
/// shape_captions.h.
std::string caption_of(const ShapeScene& scene);

/// Renders the scene as side x side kRgb pixels, edges anti-aliased, with a little noise.
Image render_scene(const ShapeScene& scene, int side);

}  // namespace titan
