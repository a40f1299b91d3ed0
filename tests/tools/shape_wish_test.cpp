#include "tests/support/catch.h"

#include "titan/tools/shape_wish.h"

#include "titan/tools/shape_captions.h"
#include "titan/tools/shapes.h"

using titan::shape_wish;
using titan::ShapeGuess;

TEST_CASE("A prompt asks for the colour and the shape that it names", "[tools]") {
  for (int label = 0; label < titan::kNumShapeClasses; ++label) {
    const std::string color = titan::shape_class(label).color_name;
    const std::string shape = titan::shape_name(titan::shape_class(label).shape);
    for (const std::string& text :
         {titan::shape_class_name(label), "A photo of a " + shape + ", painted " + color + "!",
          color + "-" + shape + " on a dark grey background"}) {
      INFO(text);
      CHECK(shape_wish(text).color_label == label);
      CHECK(shape_wish(text).shape_label == label);
      CHECK(shape_wish(text).name() == titan::shape_class_name(label));
    }
    for (std::uint64_t sample = 0; sample < 20; ++sample) {
      const titan::ShapeScene scene = titan::draw_scene(3, sample);
      for (const std::string& caption : titan::training_captions(scene)) {
        INFO(caption);
        CHECK(shape_wish(caption).color_label == scene.label);
        CHECK(shape_wish(caption).shape_label == scene.label);
      }
    }
    for (const std::string& prompt : titan::unseen_prompts(label)) {
      INFO(prompt);
      CHECK(shape_wish(prompt).color_label == label);
      CHECK(shape_wish(prompt).shape_label == label);
    }
  }
  CHECK(shape_wish("RED Circle").color_label == shape_wish("red circle").shape_label);
}

TEST_CASE("What a prompt leaves open is not asked for", "[tools]") {
  const auto red = shape_wish("something red");
  CHECK(red.color_label == 0);
  CHECK(red.shape_label == -1);
  CHECK(red.name() == "red");
  CHECK(red.met_by(ShapeGuess{.color_label = 0, .shape_label = 5}));
  CHECK_FALSE(red.met_by(ShapeGuess{.color_label = 5, .shape_label = 0}));
  CHECK(shape_wish("").empty());
  CHECK(shape_wish("a reddish spring in the crossroads").empty());
  CHECK(shape_wish("a red and blue circle").color_label == -1);
  CHECK(shape_wish("a red and blue circle").shape_label == 0);
  const auto mixed = shape_wish("a red square");
  CHECK(mixed.name() == "red square");
  CHECK(mixed.met_by(ShapeGuess{.color_label = 0, .shape_label = mixed.shape_label}));
  CHECK_FALSE(mixed.met_by(ShapeGuess{.color_label = 0, .shape_label = 0}));
  CHECK_FALSE(mixed.met_by(ShapeGuess{}));
}
