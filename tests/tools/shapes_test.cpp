#include "tests/support/catch.h"

#include "titan/tools/shapes.h"

#include <algorithm>
#include <cstdio>
#include <set>
#include <sstream>

#include "titan/base/philox.h"
#include "titan/io/image_decode.h"
#include "titan/io/image_write.h"
#include "titan/tools/arguments.h"
#include "titan/tools/make_shapes.h"
#include "titan/tools/shape_captions.h"
#include "titan/tools/shape_checker.h"

#include "tests/io/image_golden.h"
#include "tests/support/temporary_folder.h"

using titan::Image;
using titan::MakeShapesOptions;
using titan::ShapeGuess;

namespace {

MakeShapesOptions small_set(const std::string& folder) {
  MakeShapesOptions options;
  options.output_folder = folder;
  options.num_samples = 25;
  options.image_size = 32;
  options.samples_per_shard = 10;
  options.num_threads = 2;
  return options;
}

Image through_jpeg(const Image& image, int quality) {
  const auto bytes =
      titan::encode_jpeg(image, {.quality = quality, .subsample_color = false}).value();
  return titan::decode_image(bytes).value();
}

}  // namespace

TEST_CASE("every run of ten scenes holds each class once, the same for equal seeds", "[tools]") {
  std::set<std::vector<int>> orders;
  for (std::uint64_t run = 0; run < 20; ++run) {
    std::vector<int> labels;
    for (std::uint64_t i = 0; i < 10; ++i)
      labels.push_back(titan::draw_scene(5, 10 * run + i).label);
    orders.insert(labels);
    std::sort(labels.begin(), labels.end());
    REQUIRE(labels == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  }
  REQUIRE(orders.size() > 15);
  const auto pixels = [](std::uint64_t seed) {
    return titan::render_scene(titan::draw_scene(seed, 3), 32).pixels;
  };
  REQUIRE(pixels(5) == pixels(5));
  REQUIRE(pixels(5) != pixels(6));
}

TEST_CASE("classes differ in shape and in colour, captions say what is drawn", "[tools]") {
  std::set<std::string> shapes, colors;
  for (int label = 0; label < titan::kNumShapeClasses; ++label) {
    shapes.insert(titan::shape_name(titan::shape_class(label).shape));
    colors.insert(titan::shape_class(label).color_name);
  }
  REQUIRE(shapes.size() == 10);
  REQUIRE(colors.size() == 10);
  titan::ShapeScene scene;
  scene.radius = 0.2;
  scene.center_x = scene.center_y = 0.25;
  scene.background = 0.4;
  REQUIRE(titan::caption_of(scene) ==
          "a small red circle in the upper left on a dark grey background");
  scene.radius = 0.34;
  scene.center_x = scene.center_y = 0.5;
  scene.background = 0.6;
  scene.label = 9;
  REQUIRE(titan::caption_of(scene) == "a large black bar in the middle on a light grey background");
}

TEST_CASE("training sees many wordings, and every word of those it never sees", "[tools]") {
  const auto words_of = [](const std::string& text) {
    std::istringstream stream(text);
    std::set<std::string> words;
    for (std::string word; stream >> word;) {
      if (word.back() == ',') word.pop_back();
      words.insert(word);
    }
    return words;
  };
  std::set<std::string> captions, words, drawn;
  for (std::uint64_t sample = 0; sample < 2000; ++sample) {
    const titan::ShapeScene scene = titan::draw_scene(3, sample);
    const std::vector<std::string> all = titan::training_captions(scene);
    REQUIRE(all.front() == titan::caption_of(scene));
    const std::string caption = titan::drawn_caption(scene, 3);
    REQUIRE(caption == titan::drawn_caption(titan::draw_scene(3, sample), 3));
    const auto found = std::find(all.begin(), all.end(), caption);
    REQUIRE(found != all.end());
    drawn.insert(std::to_string(found - all.begin()));
    for (const std::string& wording : all) {
      const auto& shape = titan::shape_class(scene.label);
      REQUIRE(words_of(wording).count(shape.color_name) == 1);
      REQUIRE(words_of(wording).count(titan::shape_name(shape.shape)) == 1);
      captions.insert(wording);
      words.merge(words_of(wording));
    }
    REQUIRE(drawn.size() <= all.size());
  }
  REQUIRE(drawn.size() == titan::training_captions(titan::draw_scene(3, 0)).size());
  for (int label = 0; label < titan::kNumShapeClasses; ++label) {
    const std::vector<std::string> prompts = titan::unseen_prompts(label);
    REQUIRE(prompts.size() >= 5);
    for (const std::string& prompt : prompts) {
      CAPTURE(prompt);
      REQUIRE(captions.count(prompt) == 0);
      for (const std::string& word : words_of(prompt)) REQUIRE(words.count(word) == 1);
      REQUIRE(words_of(prompt).count(titan::shape_class(label).color_name) == 1);
      REQUIRE(words_of(prompt).count(titan::shape_name(titan::shape_class(label).shape)) == 1);
    }
  }
}

TEST_CASE("many wordings change captions only, and bring the unseen prompts", "[tools]") {
  const titan::testing::TemporaryFolder folder;
  const MakeShapesOptions plain = small_set(folder.file("plain"));
  MakeShapesOptions many = small_set(folder.file("many"));
  many.many_wordings = true;
  REQUIRE(titan::make_shapes(plain).ok());
  REQUIRE(titan::make_shapes(many).ok());
  const auto read = [&](const char* name) {
    return titan::testing::read_tar(std::filesystem::path(folder.file(name)) / "shapes-00000.tar");
  };
  const auto one = read("plain"), other = read("many");
  std::size_t num_other_captions = 0;
  for (const auto& [name, bytes] : one) {
    if (name.ends_with(".jpg") || name.ends_with(".cls")) REQUIRE(other.at(name) == bytes);
    if (name.ends_with(".txt") && other.at(name) != bytes) ++num_other_captions;
  }
  REQUIRE(num_other_captions >= 5);  // of 10
  const auto lines = [&](const std::string& name) {
    std::istringstream stream(titan::testing::slurp(folder.file(name)));
    std::vector<std::string> all;
    for (std::string line; std::getline(stream, line);) all.push_back(line);
    return all;
  };
  const auto prompts = lines("many/prompts_unseen.txt");
  const auto names = lines("many/prompts_unseen_labels.txt");
  REQUIRE(prompts.size() == names.size());
  REQUIRE(prompts.size() >= 50);
  REQUIRE(names.front() == "red circle");
  REQUIRE(prompts.front().find("red") != std::string::npos);
  REQUIRE(!std::filesystem::exists(folder.file("plain/prompts_unseen.txt")));
  many.output_folder = plain.output_folder;
  REQUIRE(titan::message_of(titan::make_shapes(many)).find("was made with other parameters") !=
          std::string::npos);
  REQUIRE(titan::make_shapes_main({folder.file("x"), "--wordings", "few"}) == 2);
}

TEST_CASE("the checker names the originals, after JPEG and at both sizes", "[tools]") {
  for (const int side : {32, 64}) {
    constexpr int kNumScenes = 300;
    int num_right = 0;
    double least_overlap = 1;
    for (int i = 0; i < kNumScenes; ++i) {
      const titan::ShapeScene scene = titan::draw_scene(77, static_cast<std::uint64_t>(i));
      const ShapeGuess guess =
          titan::classify_shape(through_jpeg(titan::render_scene(scene, side), 85));
      num_right += guess.shows(scene.label) ? 1 : 0;
      least_overlap = std::min(least_overlap, guess.overlap);
    }
    std::printf("shape checker, %d x %d: %d of %d right, least overlap %.3f\n", side, side,
                num_right, kNumScenes, least_overlap);
    REQUIRE(num_right >= 0.99 * kNumScenes);
  }
}

TEST_CASE("colour and shape are decided apart", "[tools]") {
  for (std::uint64_t i = 0; i < 40; ++i) {
    const titan::ShapeScene scene = titan::draw_scene(8, i);
    const int red = 0, blue = 5;
    if (scene.label != red && scene.label != blue) continue;
    Image swapped = titan::render_scene(scene, 48);
    for (std::size_t p = 0; p < swapped.pixels.size(); p += 3)
      std::swap(swapped.pixels[p], swapped.pixels[p + 2]);
    const ShapeGuess guess = titan::classify_shape(swapped);
    REQUIRE(guess.shape_label == scene.label);
    REQUIRE(guess.color_label == (scene.label == red ? blue : red));
    REQUIRE(!guess.shows(scene.label));
  }
}

TEST_CASE("blank, noisy, half and doubled pictures show no class", "[tools]") {
  Image blank(32, 32, titan::PixelMode::kRgb);
  REQUIRE(titan::classify_shape(blank).name() == "no shape");
  std::fill(blank.pixels.begin(), blank.pixels.end(), std::uint8_t{128});
  REQUIRE(titan::classify_shape(blank).name() == "no shape");
  REQUIRE(titan::classify_shape(Image(8, 8, titan::PixelMode::kRgb)).name() == "no shape");
  for (std::uint64_t i = 0; i < 30; ++i) {
    Image noise(32, 32, titan::PixelMode::kRgb);
    for (std::size_t p = 0; p < noise.pixels.size(); ++p)
      noise.pixels[p] =
          static_cast<std::uint8_t>(titan::random_bits(i, titan::RandomPurpose::kNoise, p, 0));
    REQUIRE(titan::classify_shape(noise).shape_label == -1);
  }
  Image half = blank;  // the left half red: touches the border, no shape of ours
  for (int y = 0; y < 32; ++y)
    for (int x = 0; x < 16; ++x) half.row(y)[3 * x] = 255;
  REQUIRE(titan::classify_shape(half).shape_label == -1);
  titan::ShapeScene scene;  // two circles
  scene.radius = 0.2;
  scene.center_x = scene.center_y = 0.25;
  Image two = titan::render_scene(scene, 32);
  scene.center_x = scene.center_y = 0.75;
  const Image other = titan::render_scene(scene, 32);
  for (int y = 16; y < 32; ++y) std::copy(other.row(y), other.row(y) + 96, two.row(y));
  REQUIRE(titan::classify_shape(two).shape_label == -1);
}

TEST_CASE("make_shapes writes shards that hold what was drawn, and knows its own output",
          "[tools]") {
  const titan::testing::TemporaryFolder folder;
  const MakeShapesOptions options = small_set(folder.file("shapes/"));
  REQUIRE(titan::make_shapes(options).ok());
  const std::filesystem::path made = folder.file("shapes");
  std::size_t num_samples = 0;
  for (int shard = 0; shard < 3; ++shard) {
    const auto members =
        titan::testing::read_tar(made / titan::str_cat("shapes-0000", shard, ".tar"));
    REQUIRE(members.size() % 4 == 0);
    for (std::size_t i = 0; i < members.size() / 4; ++i, ++num_samples) {
      char key[16];
      std::snprintf(key, sizeof key, "%06zu", num_samples);
      const auto scene = titan::draw_scene(options.seed, num_samples);
      const auto text = [&](const char* extension) {
        const auto& bytes = members.at(std::string(key) + extension);
        return std::string(bytes.begin(), bytes.end());
      };
      REQUIRE(text(".cls") == std::to_string(scene.label));
      REQUIRE(text(".txt") == titan::caption_of(scene));
      const auto json = nlohmann::json::parse(text(".json"));
      REQUIRE(json.at("label") == scene.label);
      REQUIRE(json.at("caption") == titan::caption_of(scene));
      REQUIRE(json.at("class_name") == titan::shape_class_name(scene.label));
      const auto image = titan::decode_image(members.at(std::string(key) + ".jpg"));
      REQUIRE(image.ok());
      REQUIRE(image->width == 32);
      REQUIRE(titan::classify_shape(*image).shows(scene.label));
    }
  }
  REQUIRE(num_samples == 25);
  REQUIRE(titan::testing::slurp(made / "classes.txt").rfind("red circle\norange diamond\n", 0) ==
          0);
  REQUIRE(std::distance(std::filesystem::directory_iterator(folder.path()), {}) ==
          1);  // no temporary folder stays

  // Equal parameters, any number of threads: left alone, and elsewhere the same bytes.
  const auto written = std::filesystem::last_write_time(made / "shapes-00000.tar");
  REQUIRE(titan::make_shapes(options).ok());
  REQUIRE(std::filesystem::last_write_time(made / "shapes-00000.tar") == written);
  MakeShapesOptions again = small_set(folder.file("again"));
  again.num_threads = 1;
  REQUIRE(titan::make_shapes(again).ok());
  for (const char* name : {"shapes-00000.tar", "shapes-00002.tar", "classes.txt"})
    REQUIRE(titan::testing::slurp(made / name) ==
            titan::testing::slurp(folder.file("again") + "/" + name));

  MakeShapesOptions changed = options;
  changed.seed = 1;
  const auto refused = titan::make_shapes(changed);
  REQUIRE(titan::message_of(refused).find("was made with other parameters") != std::string::npos);
  REQUIRE(titan::exit_code_for(refused) == 2);
}

TEST_CASE("make_shapes leaves other people's folders alone", "[tools]") {
  const titan::testing::TemporaryFolder folder;
  folder.write("mine/notes.txt", "keep me");
  const auto refused = titan::make_shapes(small_set(folder.file("mine")));
  REQUIRE(titan::message_of(refused).find("holds other files") != std::string::npos);
  REQUIRE(titan::testing::slurp(folder.file("mine/notes.txt")) == "keep me");
  folder.write("file", "x");
  REQUIRE(
      titan::message_of(titan::make_shapes(small_set(folder.file("file")))).find("not a folder") !=
      std::string::npos);
  std::filesystem::create_directory(folder.file("empty"));
  REQUIRE(titan::make_shapes(small_set(folder.file("empty"))).ok());
  REQUIRE(!titan::make_shapes(small_set("")).ok());
}

TEST_CASE("the verbs return exit codes and score folders", "[tools]") {
  const titan::testing::TemporaryFolder folder;
  const std::string out = folder.file("out");
  REQUIRE(titan::make_shapes_main({"--help"}) == 0);
  REQUIRE(titan::make_shapes_main({"--output", out, "--samples=20", "--image-size", "32"}) == 0);
  REQUIRE(titan::make_shapes_main({"--output", out, "--samples=20", "--image_size=32"}) == 0);
  REQUIRE(titan::make_shapes_main({"--output", out, "--samples=21"}) == 2);
  REQUIRE(titan::make_shapes_main({"--samples", "ten"}) == 2);
  REQUIRE(titan::make_shapes_main({"--smaples", "10"}) == 2);
  std::filesystem::create_directory(folder.file("pictures"));
  for (std::uint64_t i = 0; i < 10; ++i) {
    const auto scene = titan::draw_scene(4, i);
    const std::string name =
        titan::str_cat("pictures/", titan::shape_class_name(scene.label), " ", i, ".png");
    REQUIRE(titan::write_png(folder.file(name), titan::render_scene(scene, 32)).ok());
  }
  REQUIRE(titan::check_shapes_main({folder.file("pictures"), "--at-least", "1"}) == 0);
  REQUIRE(titan::check_shapes_main(
              {folder.file("pictures"), "--expect", "red_circle", "--at-least=0.5"}) == 1);
  REQUIRE(titan::check_shapes_main({folder.file("pictures"), "--expect", "red cow"}) == 2);
  REQUIRE(titan::check_shapes_main({folder.file("absent")}) == 2);
}

TEST_CASE("arguments name what is wrong", "[tools]") {
  const auto error = [](const std::vector<std::string>& args) {
    return titan::message_of(titan::Arguments::parse(args, {"size", "help"}).status());
  };
  REQUIRE(error({"--sise", "3"}) == "unknown option --sise (known: --size, --help)");
  REQUIRE(error({"--size"}) == "--size needs a value");
  REQUIRE(error({"--size=3", "--size=4"}) == "--size is given twice");
  const auto parsed = titan::Arguments::parse({"word", "--size=12x"}, {"size"});
  REQUIRE(parsed->words() == std::vector<std::string>{"word"});
  REQUIRE(titan::message_of(parsed->integer("size", 1, 0, 50).status()) ==
          "--size must be a number from 0 to 50 (12x)");
}
