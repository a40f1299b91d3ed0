#include "titan/tools/shape_wish.h"

#include <set>

#include "titan/tools/shapes.h"

namespace titan {
namespace {

/// Runs of ASCII letters, in lower case.
std::set<std::string> words_of(const std::string& text) {
  std::set<std::string> words;
  std::string word;
  for (const char letter : text + ' ') {
    const char lower =
        letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
    if (lower >= 'a' && lower <= 'z') {
      word += lower;
    } else if (!word.empty()) {
      words.insert(std::move(word));
      word.clear();
    }
  }
  return words;
}

/// The only class whose name (by `name_of`) is among the words.
template <class NameOf>
int only_class(const std::set<std::string>& words, const NameOf& name_of) {
  int found = -1;
  for (int label = 0; label < kNumShapeClasses; ++label) {
    if (words.count(name_of(shape_class(label))) == 0) continue;
    if (found >= 0) return -1;
    found = label;
  }
  return found;
}

}  // namespace

bool ShapeWish::met_by(const ShapeGuess& guess) const {
  return (color_label < 0 || guess.color_label == color_label) &&
         (shape_label < 0 || guess.shape_label == shape_label);
}

std::string ShapeWish::name() const {
  std::string text = color_label < 0 ? "" : shape_class(color_label).color_name;
  if (color_label >= 0 && shape_label >= 0) text += " ";
  if (shape_label >= 0) text += shape_name(shape_class(shape_label).shape);
  return text;
}

ShapeWish shape_wish(const std::string& text) {
  const std::set<std::string> words = words_of(text);
  return {.color_label = only_class(words, [](const ShapeClass& one) { return one.color_name; }),
          .shape_label =
              only_class(words, [](const ShapeClass& one) { return shape_name(one.shape); })};
}

}  // namespace titan
