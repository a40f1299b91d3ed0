// tools: programs. Everything of titan may be included here.
//
// shape_outline.h: the ten outlines of the shapes data set, as point-in-shape tests.
#pragma once

#include <array>
#include <cstdint>

namespace titan {

enum class Shape : std::uint8_t {
  kCircle,
  kDiamond,
  kStar,
  kSquare,
  kRing,
  kTriangle,
  kCross,
  kHeart,
  kCrescent,
  kBar
};
inline constexpr int kNumShapes = 10;

/// "circle", "diamond", ...
const char* shape_name(Shape shape);

/// True where the point lies in the upright shape of about unit radius around the origin; y grows
/// downwards.
bool inside_shape(Shape shape, double x, double y);

/// Area, centroid and largest distance of the outline from the centroid, found by sampling once.
struct ShapeMoments {
  double area = 0;
  double center_x = 0;
  double center_y = 0;
  double reach = 0;
};
const ShapeMoments& shape_moments(Shape shape);

}  // namespace titan
