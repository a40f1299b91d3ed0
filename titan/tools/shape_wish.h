// shape_wish.h: which coloured shape a prompt asks for.
#pragma once

#include <string>

#include "titan/tools/shape_checker.h"

namespace titan {

/// Colour and shape that a picture should show: classes of tools/shapes.h, -1 where it is left
/// open.
struct ShapeWish {
  int color_label = -1;
  int shape_label = -1;

  bool empty() const { return color_label < 0 && shape_label < 0; }
  /// Whether the picture shows what is asked for.
  bool met_by(const ShapeGuess& guess) const;
  /// "red circle", "red", "circle"
  std::string name() const;
};

/// The colour and the shape that are named in the text as words, in any order and any case. Left
/// open where none is named, or more than one.
ShapeWish shape_wish(const std::string& text);

}  // namespace titan
