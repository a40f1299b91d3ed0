#include "titan/tools/shape_captions.h"

#include <array>
#include <map>

#include "titan/base/philox.h"

namespace titan {
namespace {

/// {name} is replaced, {a name} gets its article.
constexpr std::array<const char*, 13> kTrainingWordings = {
    "{a size} {color} {shape} {place} on {a tone} background",
    "{a color} {shape}",
    "{color} {shape}",
    "a picture of {a color} {shape}",
    "a picture of {a shape} in {color}",
    "{a shape} in {color} {place}",
    "the {shape} is {color}",
    "there is {a size} {color} {shape} {place}",
    "an image of {a shape}, {color}, on {a tone} background",
    "{a size} {shape} that is {color}",
    "one {color} {shape}, drawn {place}",
    "{a tone} background with {a color} {shape}",
    "this {color} {shape} is {size}",
};

constexpr std::array<const char*, 6> kUnseenWordings = {
    "an image of {a color} {shape}",    "there is {a shape} in {color}",
    "one {shape} that is {color}",      "this is the {color} {shape}",
    "a picture of one {color} {shape}", "{a shape}, {color}",
};

using Words = std::map<std::string, std::string>;

std::string with_article(const std::string& word) {
  const bool vowel = std::string("aeiou").find(word[0]) != std::string::npos;
  return (vowel ? "an " : "a ") + word;
}

std::string fill_in(const std::string& wording, const Words& words) {
  std::string text;
  for (std::size_t at = 0; at < wording.size();) {
    if (wording[at] != '{') {
      text += wording[at++];
      continue;
    }
    const std::size_t close = wording.find('}', at);
    const std::string name = wording.substr(at + 1, close - at - 1);
    text += name.starts_with("a ") ? with_article(words.at(name.substr(2))) : words.at(name);
    at = close + 1;
  }
  return text;
}

Words class_words(int label) {
  const ShapeClass& entry = shape_class(label);
  return {{"color", entry.color_name}, {"shape", shape_name(entry.shape)}};
}

std::string size_word(const ShapeScene& scene) {
  const double size = (scene.radius - kMinShapeRadius) / (kMaxShapeRadius - kMinShapeRadius);
  return size < 1.0 / 3 ? "small" : size < 2.0 / 3 ? "medium-sized" : "large";
}

std::string place_words(const ShapeScene& scene) {
  static constexpr std::array<const char*, 9> kPlaces = {
      "in the upper left", "at the top",    "in the upper right",
      "on the left",       "in the middle", "on the right",
      "in the lower left", "at the bottom", "in the lower right"};
  const auto third = [](double at) { return at < 0.44 ? 0 : at > 0.56 ? 2 : 1; };
  return kPlaces[static_cast<std::size_t>(3 * third(scene.center_y) + third(scene.center_x))];
}

std::string tone_words(const ShapeScene& scene) {
  return scene.background < 0.46 ? "dark grey" : scene.background > 0.54 ? "light grey" : "grey";
}

Words scene_words(const ShapeScene& scene) {
  Words words = class_words(scene.label);
  words["size"] = size_word(scene);
  words["place"] = place_words(scene);
  words["tone"] = tone_words(scene);
  return words;
}

}  // namespace

std::string caption_of(const ShapeScene& scene) {
  return fill_in(kTrainingWordings.front(), scene_words(scene));
}

std::vector<std::string> training_captions(const ShapeScene& scene) {
  const Words words = scene_words(scene);
  std::vector<std::string> captions;
  for (const char* wording : kTrainingWordings) captions.push_back(fill_in(wording, words));
  return captions;
}

std::string drawn_caption(const ShapeScene& scene, std::uint64_t seed) {
  constexpr std::uint32_t kDraw = 7;  // draws 0 to 6 of a sample make the scene
  const std::uint32_t drawn = random_below(kTrainingWordings.size(), seed,
                                           RandomPurpose::kSynthetic, scene.sample, 0, kDraw);
  return fill_in(kTrainingWordings[drawn], scene_words(scene));
}

std::vector<std::string> unseen_prompts(int label) {
  const Words words = class_words(label);
  std::vector<std::string> prompts;
  for (const char* wording : kUnseenWordings) prompts.push_back(fill_in(wording, words));
  return prompts;
}

}  // namespace titan
