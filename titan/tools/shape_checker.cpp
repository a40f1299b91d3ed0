#include "titan/tools/shape_checker.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <vector>

#include "titan/io/image_convert.h"
#include "titan/tools/shapes.h"

namespace titan {
namespace {

using Color = std::array<double, 3>;

constexpr double kMinContrast = 45;  ///< of 441, between background and foreground
constexpr double kMinArea = 0.02, kMaxArea = 0.6;
constexpr double kMaxLeftOver = 0.15;  ///< foreground outside the largest piece, of that piece
constexpr double kMinOverlap = 0.72;   ///< with the best shape: a shape is said to be shown
constexpr double kMinChroma = 50;      ///< of 255; below, a colour is white, black or grey
constexpr double kMaxHueError = 25;    ///< degrees
constexpr std::array<double, 5> kAngles = {-0.24, -0.12, 0.0, 0.12, 0.24};  ///< radians

double distance(const Color& a, const Color& b) {
  return std::hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
}

/// A picture with its pixels as numbers, and how much of each is foreground.
struct Scene {
  int width = 0;
  int height = 0;
  std::vector<Color> pixels;
  std::vector<double> share;  ///< 0 background .. 1 foreground
  std::vector<char> inside;   ///< in the largest connected piece

  std::size_t index(int x, int y) const {
    return static_cast<std::size_t>(y) * static_cast<std::size_t>(width) +
           static_cast<std::size_t>(x);
  }
};

/// Median of the pixels along the border.
Color border_color(const Scene& scene) {
  Color color{};
  for (std::size_t c = 0; c < 3; ++c) {
    std::vector<double> values;
    for (int y = 0; y < scene.height; ++y)
      for (int x = 0; x < scene.width; ++x)
        if (x == 0 || y == 0 || x == scene.width - 1 || y == scene.height - 1)
          values.push_back(scene.pixels[scene.index(x, y)][c]);
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    color[c] = *middle;
  }
  return color;
}

/// Mean of the pixels that differ most from the background: at least three quarters of the largest
/// differences, of which the top percent may be noise.
Color foreground_color(const Scene& scene, const Color& background) {
  std::vector<double> differences;
  for (const Color& pixel : scene.pixels) differences.push_back(distance(pixel, background));
  std::vector<double> sorted = differences;
  const auto top = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() * 99 / 100);
  std::nth_element(sorted.begin(), top, sorted.end());
  Color sum{};
  double count = 0;
  for (std::size_t i = 0; i < differences.size(); ++i) {
    if (differences[i] < 0.75 * *top) continue;
    for (std::size_t c = 0; c < 3; ++c) sum[c] += scene.pixels[i][c];
    ++count;
  }
  for (double& channel : sum) channel /= count;
  return sum;
}

/// Each pixel's position on the line from background to foreground.
void find_shares(Scene& scene, const Color& background, const Color& foreground) {
  const double length = distance(foreground, background);
  scene.share.clear();
  for (const Color& pixel : scene.pixels) {
    double along = 0;
    for (std::size_t c = 0; c < 3; ++c)
      along += (pixel[c] - background[c]) * (foreground[c] - background[c]);
    scene.share.push_back(std::clamp(along / (length * length), 0.0, 1.0));
  }
}

/// Pixels of the piece that (x, y) belongs to; marks them as seen.
std::vector<std::size_t> flood(const Scene& scene, std::size_t start, std::vector<char>& seen) {
  std::vector<std::size_t> piece{start};
  seen[start] = 1;
  for (std::size_t next = 0; next < piece.size(); ++next) {
    const int x = static_cast<int>(piece[next] % static_cast<std::size_t>(scene.width));
    const int y = static_cast<int>(piece[next] / static_cast<std::size_t>(scene.width));
    for (const auto& [dx, dy] : {std::pair{1, 0}, {-1, 0}, {0, 1}, {0, -1}}) {
      if (x + dx < 0 || x + dx >= scene.width || y + dy < 0 || y + dy >= scene.height) continue;
      const std::size_t neighbour = scene.index(x + dx, y + dy);
      if (seen[neighbour] != 0 || scene.share[neighbour] < 0.5) continue;
      seen[neighbour] = 1;
      piece.push_back(neighbour);
    }
  }
  return piece;
}

/// Marks the largest piece; false where there is none of a fitting size, or too much beside it.
bool find_piece(Scene& scene) {
  std::vector<char> seen(scene.pixels.size(), 0);
  std::vector<std::size_t> largest;
  double total = 0;
  for (std::size_t i = 0; i < scene.pixels.size(); ++i) {
    if (seen[i] != 0 || scene.share[i] < 0.5) continue;
    std::vector<std::size_t> piece = flood(scene, i, seen);
    total += static_cast<double>(piece.size());
    if (piece.size() > largest.size()) largest = std::move(piece);
  }
  const auto size = static_cast<double>(largest.size());
  const auto all = static_cast<double>(scene.pixels.size());
  if (size < kMinArea * all || size > kMaxArea * all || total - size > kMaxLeftOver * size)
    return false;
  scene.inside.assign(scene.pixels.size(), 0);
  for (const std::size_t i : largest) scene.inside[i] = 1;
  return true;
}

/// Keeps the soft edge: pixels next to the piece count by their share, all others are background.
void keep_piece(Scene& scene) {
  std::vector<double> kept(scene.share.size(), 0.0);
  for (int y = 0; y < scene.height; ++y)
    for (int x = 0; x < scene.width; ++x) {
      bool near = false;
      for (int dy = -1; dy <= 1; ++dy)
        for (int dx = -1; dx <= 1; ++dx)
          if (x + dx >= 0 && x + dx < scene.width && y + dy >= 0 && y + dy < scene.height)
            near = near || scene.inside[scene.index(x + dx, y + dy)] != 0;
      if (near) kept[scene.index(x, y)] = scene.share[scene.index(x, y)];
    }
  scene.share = std::move(kept);
}

struct HueChroma {
  double hue = 0;  ///< degrees
  double chroma = 0;
};

HueChroma hue_of(const Color& color) {
  const double high = std::max({color[0], color[1], color[2]});
  const double chroma = high - std::min({color[0], color[1], color[2]});
  if (chroma == 0) return {};
  double sixth = 0;
  if (high == color[0])
    sixth = (color[1] - color[2]) / chroma;
  else if (high == color[1])
    sixth = 2 + (color[2] - color[0]) / chroma;
  else
    sixth = 4 + (color[0] - color[1]) / chroma;
  return {std::fmod(60 * sixth + 360, 360), chroma};
}

int color_label(const Color& color) {
  const HueChroma seen = hue_of(color);
  int best = -1;
  double best_error = seen.chroma < kMinChroma ? 65 : kMaxHueError;  // levels of 255, or degrees
  for (int label = 0; label < kNumShapeClasses; ++label) {
    const Rgb& rgb = shape_class(label).color;
    const HueChroma named = hue_of({static_cast<double>(rgb.red), static_cast<double>(rgb.green),
                                    static_cast<double>(rgb.blue)});
    if ((named.chroma < kMinChroma) != (seen.chroma < kMinChroma)) continue;
    double error = std::abs((color[0] + color[1] + color[2]) / 3 - rgb.green);
    if (seen.chroma >= kMinChroma) {
      error = std::abs(seen.hue - named.hue);
      error = std::min(error, 360 - error);
    }
    if (error >= best_error) continue;
    best_error = error;
    best = label;
  }
  return best;
}

struct Outline {
  double area = 0;
  double center_x = 0;
  double center_y = 0;
};

Outline measure(const Scene& scene) {
  Outline outline;
  for (int y = 0; y < scene.height; ++y)
    for (int x = 0; x < scene.width; ++x) {
      const double share = scene.share[scene.index(x, y)];
      outline.area += share;
      outline.center_x += share * (x + 0.5);
      outline.center_y += share * (y + 0.5);
    }
  outline.center_x /= outline.area;
  outline.center_y /= outline.area;
  return outline;
}

/// Intersection over union of the foreground with `shape`, turned by `angle`, of equal area and
/// centre.
double overlap_with(const Scene& scene, const Outline& outline, Shape shape, double angle) {
  const ShapeMoments& moments = shape_moments(shape);
  const double scale = std::sqrt(moments.area / outline.area);
  const double cosine = std::cos(angle) * scale, sine = std::sin(angle) * scale;
  double both = 0;
  for (int y = 0; y < scene.height; ++y)
    for (int x = 0; x < scene.width; ++x) {
      const double dx = x + 0.5 - outline.center_x, dy = y + 0.5 - outline.center_y;
      double drawn = 0;
      if (std::hypot(dx, dy) * scale <= moments.reach + scale)
        for (const double sub_y : {-0.25, 0.25})
          for (const double sub_x : {-0.25, 0.25}) {
            const double px = dx + sub_x, py = dy + sub_y;
            drawn += inside_shape(shape, cosine * px + sine * py + moments.center_x,
                                  cosine * py - sine * px + moments.center_y)
                         ? 0.25
                         : 0;
          }
      both += std::min(drawn, scene.share[scene.index(x, y)]);
    }
  // Both have the same area; the shape's part beyond the picture's border counts too.
  return both / (2 * outline.area - both);
}

}  // namespace

std::string ShapeGuess::name() const {
  if (color_label < 0 && shape_label < 0) return "no shape";
  return str_cat(color_label < 0 ? "unclear" : shape_class(color_label).color_name, " ",
                 shape_label < 0 ? "blob" : shape_name(shape_class(shape_label).shape));
}

ShapeGuess classify_shape(const Image& image) {
  ShapeGuess guess;
  constexpr int kMinSide = 16;
  if (image.width < kMinSide || image.height < kMinSide) return guess;
  const Image rgb = to_rgb(image);
  Scene scene{rgb.width, rgb.height, {}, {}, {}};
  for (std::size_t i = 0; i < rgb.pixels.size(); i += 3)
    scene.pixels.push_back({static_cast<double>(rgb.pixels[i]),
                            static_cast<double>(rgb.pixels[i + 1]),
                            static_cast<double>(rgb.pixels[i + 2])});
  const Color background = border_color(scene);
  const Color foreground = foreground_color(scene, background);
  if (distance(foreground, background) < kMinContrast) return guess;
  find_shares(scene, background, foreground);
  if (!find_piece(scene)) return guess;
  keep_piece(scene);
  const Outline outline = measure(scene);
  guess.area = outline.area / static_cast<double>(scene.pixels.size());
  guess.color_label = color_label(foreground);
  for (int label = 0; label < kNumShapeClasses; ++label)
    for (const double angle : kAngles) {
      const double overlap = overlap_with(scene, outline, shape_class(label).shape, angle);
      if (overlap <= guess.overlap) continue;
      guess.overlap = overlap;
      guess.shape_label = label;
    }
  if (guess.overlap < kMinOverlap) guess.shape_label = -1;
  return guess;
}

}  // namespace titan
