#include "titan/tools/shape_outline.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace titan {
namespace {

bool inside_star(double x, double y) {
  // Five points: by symmetry one tenth of the star is a triangle under one edge.
  constexpr double kTenth = std::numbers::pi / 5, kInner = 0.45, kOuter = 1.1;
  const double radius = std::hypot(x, y);
  double angle = std::fmod(std::abs(std::atan2(x, -y)), 2 * kTenth);
  angle = std::min(angle, 2 * kTenth - angle);
  // The edge runs from the outer tip (angle 0) to the inner corner (angle pi / 5).
  const double along = radius * std::cos(angle), across = radius * std::sin(angle);
  const double inner_along = kInner * std::cos(kTenth), inner_across = kInner * std::sin(kTenth);
  return (along - kOuter) * inner_across - across * (inner_along - kOuter) <= 0;
}

bool inside_triangle(double x, double y) {
  // Equilateral, one corner up.
  constexpr double kSqrt3 = std::numbers::sqrt3;
  return y <= 0.55 && y >= -1.1 + kSqrt3 * std::abs(x);
}

bool inside_heart(double x, double y) {
  // The sextic (u^2 + v^2 - 1)^3 = u^2 v^3, v upwards.
  const double u = 1.25 * x, v = -1.25 * y + 0.1;
  const double w = u * u + v * v - 1;
  return w * w * w - u * u * v * v * v <= 0;
}

ShapeMoments measure(Shape shape) {
  constexpr double kStep = 1.0 / 128, kSide = 1.5;
  ShapeMoments moments;
  for (double y = -kSide; y < kSide; y += kStep)
    for (double x = -kSide; x < kSide; x += kStep) {
      if (!inside_shape(shape, x, y)) continue;
      moments.area += kStep * kStep;
      moments.center_x += x * kStep * kStep;
      moments.center_y += y * kStep * kStep;
    }
  moments.center_x /= moments.area;
  moments.center_y /= moments.area;
  for (double y = -kSide; y < kSide; y += kStep)
    for (double x = -kSide; x < kSide; x += kStep)
      if (inside_shape(shape, x, y))
        moments.reach =
            std::max(moments.reach, std::hypot(x - moments.center_x, y - moments.center_y));
  return moments;
}

}  // namespace

const char* shape_name(Shape shape) {
  static constexpr std::array<const char*, kNumShapes> kNames = {
      "circle",   "diamond", "star",  "square",   "ring",
      "triangle", "cross",   "heart", "crescent", "bar"};
  return kNames[static_cast<std::size_t>(shape)];
}

bool inside_shape(Shape shape, double x, double y) {
  const auto within = [](double dx, double dy, double radius) {
    return dx * dx + dy * dy <= radius * radius;
  };
  switch (shape) {
    case Shape::kCircle:
      return within(x, y, 0.9);
    case Shape::kDiamond:
      return std::abs(x) / 0.75 + std::abs(y) / 1.05 <= 1;
    case Shape::kStar:
      return inside_star(x, y);
    case Shape::kSquare:
      return std::max(std::abs(x), std::abs(y)) <= 0.78;
    case Shape::kRing:
      return within(x, y, 1.0) && !within(x, y, 0.55);
    case Shape::kTriangle:
      return inside_triangle(x, y);
    case Shape::kCross:
      return std::max(std::abs(x), std::abs(y)) <= 0.95 &&
             std::min(std::abs(x), std::abs(y)) <= 0.3;
    case Shape::kHeart:
      return inside_heart(x, y);
    case Shape::kCrescent:
      return within(x, y, 1.0) && !within(x - 0.5, y, 0.8);
    case Shape::kBar:
      return std::abs(x) <= 1.05 && std::abs(y) <= 0.35;
  }
  return false;
}

const ShapeMoments& shape_moments(Shape shape) {
  static const std::array<ShapeMoments, kNumShapes> all = [] {
    std::array<ShapeMoments, kNumShapes> moments;
    for (int i = 0; i < kNumShapes; ++i)
      moments[static_cast<std::size_t>(i)] = measure(static_cast<Shape>(i));
    return moments;
  }();
  return all[static_cast<std::size_t>(shape)];
}

}  // namespace titan
