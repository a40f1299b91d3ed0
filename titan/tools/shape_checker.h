// shape_checker.h: which shape, in which colour, a picture shows, by pixel statistics. Scores
// generated samples of the shapes data set.
#pragma once

#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/image.h"

namespace titan {

/// What a picture shows. Colour and shape are decided apart; each is a class of tools/shapes.h, or
/// -1 for none.
struct ShapeGuess {
  int color_label = -1;
  int shape_label = -1;
  double overlap =
      0;            ///< of the foreground with the best shape drawn over it: intersection / union
  double area = 0;  ///< foreground, share of the picture

  /// Both agree on `label`.
  bool shows(int label) const { return color_label == label && shape_label == label; }
  /// "red circle", "green triangle", "no shape"
  std::string name() const;
};

/// Splits the picture into the tone of its border and what differs from it, takes the largest
/// connected piece, names its mean colour, and compares its outline with each shape drawn at its
/// centre, area and a few angles. A blank or noisy picture, or more than one piece, gives -1. Any
/// mode; sides of at least 16 pixels.
ShapeGuess classify_shape(const Image& image);

/// `titan check-shapes`: scores a folder of PNG and JPEG files against the class in their names
/// ("red circle 3.png", "red_circle-3.png") or --expect. Returns the exit code.
int check_shapes_main(const std::vector<std::string>& args);

}  // namespace titan
