#include "tests/support/catch.h"

#include "titan/tools/make_encoders.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "titan/io/safetensors.h"
#include "titan/tokenizers/clip_tokenizer.h"
#include "titan/tokenizers/t5_tokenizer.h"
#include "titan/tools/captions.h"
#include "titan/tools/make_shapes.h"
#include "titan/tools/shape_captions.h"

#include "tests/support/tar_builder.h"
#include "tests/support/temporary_folder.h"

namespace fs = std::filesystem;
using Ids = std::vector<std::int64_t>;
using titan::testing::slurp;
using titan::testing::TemporaryFolder;

namespace {

constexpr const char* kFiles[] = {
    "t5/config.json",  "t5/spiece.model", "t5/model.safetensors",  "clip/config.json",
    "clip/vocab.json", "clip/merges.txt", "clip/model.safetensors"};

/// Captions of a few hundred shapes, one a line.
std::string shape_captions() {
  std::string text;
  for (std::uint64_t sample = 0; sample < 300; ++sample)
    text += titan::drawn_caption(titan::draw_scene(0, sample), 0) + "\n";
  return text;
}

titan::MakeEncodersOptions small(const TemporaryFolder& folder, const std::string& name) {
  titan::MakeEncodersOptions options;
  options.output_folder = folder / name;
  options.captions = folder.write("captions.txt", shape_captions());
  options.t5 = {.d_model = 24, .num_layers = 2, .num_heads = 3};
  options.clip = {.width = 16, .num_layers = 1, .num_heads = 2};
  return options;
}

/// The text's ids without padding and special tokens.
Ids tokens_of(const titan::Tokenizer& tokenizer, const std::string& text) {
  Ids empty(40), ids(40);
  tokenizer.encode("", empty);
  tokenizer.encode(text, ids);
  const std::set<std::int64_t> special(empty.begin(), empty.end());
  std::erase_if(ids, [&](std::int64_t id) { return special.count(id) == 1; });
  return ids;
}

nlohmann::json read_json(const std::string& path) { return nlohmann::json::parse(slurp(path)); }

double deviation_of(const titan::TensorEntry& entry) {
  const std::size_t count = entry.size_bytes / sizeof(float);
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) {
    float value = 0;
    std::memcpy(&value, entry.data + i * sizeof(float), sizeof(float));
    sum += double{value} * value;
  }
  return std::sqrt(sum / static_cast<double>(count));
}

std::string message(const titan::MakeEncodersOptions& options) {
  return titan::message_of(titan::make_encoders(options));
}

}  // namespace

TEST_CASE("made encoders have a token for every colour and shape, and weights that fit",
          "[tools]") {
  const TemporaryFolder folder;
  const titan::MakeEncodersOptions options = small(folder, "encoders");
  REQUIRE(titan::make_encoders(options).ok());
  const std::string out = options.output_folder;
  for (const char* file : kFiles) REQUIRE(fs::exists(fs::path(out) / file));

  const auto t5 = titan::open_t5_tokenizer(out + "/t5/spiece.model");
  const auto clip = titan::open_clip_tokenizer(out + "/clip/vocab.json", out + "/clip/merges.txt");
  REQUIRE(t5.ok());
  REQUIRE(clip.ok());
  for (const titan::Tokenizer* tokenizer : {t5->get(), clip->get()}) {
    std::set<Ids> seen;
    for (int label = 0; label < titan::kNumShapeClasses; ++label) {
      const auto& shape = titan::shape_class(label);
      for (const std::string& word :
           {std::string(shape.color_name), std::string(titan::shape_name(shape.shape))}) {
        CAPTURE(word);
        REQUIRE(tokens_of(*tokenizer, word).size() == 1);
        REQUIRE(seen.insert(tokens_of(*tokenizer, word)).second);
      }
      // Prompts of unseen wordings consist of known words, and one word is one token's difference.
      for (const std::string& prompt : titan::unseen_prompts(label)) {
        const Ids ids = tokens_of(*tokenizer, prompt);
        REQUIRE(std::count(ids.begin(), ids.end(), 2) == 0);
        REQUIRE(ids.size() <= 12);
      }
    }
    Ids red = tokens_of(*tokenizer, "a picture of a red circle");
    const Ids blue = tokens_of(*tokenizer, "a picture of a blue circle");
    REQUIRE(red.size() == blue.size());
    int num_different = 0;
    for (std::size_t i = 0; i < red.size(); ++i) num_different += red[i] == blue[i] ? 0 : 1;
    REQUIRE(num_different == 1);
  }

  const auto t5_config = read_json(out + "/t5/config.json");
  const auto t5_file = titan::SafetensorsFile::open(out + "/t5/model.safetensors");
  REQUIRE(t5_file.ok());
  REQUIRE(t5_config.at("model_type") == "t5");
  const Ids embedding = t5_file->find("shared.weight")->shape;
  REQUIRE(embedding == Ids{t5_config.at("vocab_size"), 24});
  REQUIRE(titan::check_vocabulary(**t5, embedding[0], "t5").ok());
  REQUIRE(t5_file->entries().size() == 1 + 2 * 9 + 1 + 1);
  REQUIRE(t5_file->find("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight")
              ->shape == Ids{32, 3});
  REQUIRE(t5_file->find("encoder.block.1.layer.1.DenseReluDense.wo.weight")->shape ==
          Ids{24, t5_config.at("d_ff")});
  REQUIRE_THAT(deviation_of(*t5_file->find("shared.weight")),
               Catch::Matchers::WithinAbs(1.0, 0.05));
  REQUIRE_THAT(deviation_of(*t5_file->find("encoder.block.0.layer.0.SelfAttention.k.weight")),
               Catch::Matchers::WithinAbs(1 / std::sqrt(24.0), 0.04));

  const auto clip_config = read_json(out + "/clip/config.json");
  const auto clip_file = titan::SafetensorsFile::open(out + "/clip/model.safetensors");
  REQUIRE(clip_file.ok());
  const Ids tokens = clip_file->find("text_model.embeddings.token_embedding.weight")->shape;
  REQUIRE(tokens == Ids{clip_config.at("vocab_size"), clip_config.at("hidden_size")});
  REQUIRE((*clip)->vocabulary_size() == tokens[0]);
  REQUIRE(clip_file->find("text_model.embeddings.position_embedding.weight")->shape ==
          Ids{clip_config.at("max_position_embeddings"), 16});
  REQUIRE(clip_file->entries().size() == 2 + 16 + 2);
  REQUIRE(deviation_of(*clip_file->find("text_model.final_layer_norm.weight")) == 1);
  REQUIRE(deviation_of(*clip_file->find("text_model.final_layer_norm.bias")) == 0);
}

TEST_CASE("equal options give equal bytes, another seed other weights", "[tools]") {
  const TemporaryFolder folder;
  titan::MakeEncodersOptions options = small(folder, "first");
  REQUIRE(titan::make_encoders(options).ok());
  options.output_folder = folder / "second";
  REQUIRE(titan::make_encoders(options).ok());
  for (const std::string file : kFiles)
    REQUIRE(slurp(folder / ("first/" + file)) == slurp(folder / ("second/" + file)));
  options.output_folder = folder / "third";
  options.seed = 1;
  REQUIRE(titan::make_encoders(options).ok());
  for (const std::string file : kFiles) {
    const bool same = slurp(folder / ("first/" + file)) == slurp(folder / ("third/" + file));
    REQUIRE(same == !file.ends_with("safetensors"));
  }
}

TEST_CASE("captions come from lines, tars and text files", "[tools]") {
  const TemporaryFolder folder;
  const auto read = [&](const std::string& name, std::int64_t limit = 100) {
    return titan::read_captions(folder / name, limit).value();
  };
  using Captions = std::vector<std::string>;
  folder.write("lines.txt", "one\n\ntwo\r\nthree");
  REQUIRE(read("lines.txt") == Captions{"one", "two", "three"});
  REQUIRE(read("lines.txt", 2) == Captions{"one", "two"});
  folder.write("texts/b.txt", "second\n");
  folder.write("texts/a.txt", "first");
  folder.write("texts/a.jpg", "no text");
  REQUIRE(read("texts") == Captions{"first", "second"});
  titan::MakeShapesOptions shapes;
  shapes.output_folder = folder / "shapes";
  shapes.num_samples = 12;
  shapes.image_size = 16;
  shapes.samples_per_shard = 10;
  shapes.many_wordings = true;
  REQUIRE(titan::make_shapes(shapes).ok());
  const Captions captions = read("shapes");  // of the tars, not of prompts_unseen.txt
  REQUIRE(captions.size() == 12);
  REQUIRE(captions[11] == titan::drawn_caption(titan::draw_scene(0, 11), 0));
}

TEST_CASE("make-encoders names what it cannot do and leaves nothing behind", "[tools]") {
  const TemporaryFolder folder;
  titan::MakeEncodersOptions options = small(folder, "out");
  options.captions = folder / "absent.txt";
  REQUIRE(message(options).find("absent.txt") != std::string::npos);
  options.captions = folder.write("blank.txt", "\n\n");
  REQUIRE(message(options).find("blank.txt holds no captions") != std::string::npos);
  options = small(folder, "out");
  options.max_pieces = 5;
  REQUIRE(message(options).find("cannot learn 5 pieces") != std::string::npos);
  options = small(folder, "out");
  options.t5.num_heads = 5;
  REQUIRE(message(options) == "[make-encoders] --t5-width must be divisible by --t5-heads (24, 5)");
  REQUIRE(!fs::exists(folder / "out"));
  folder.write("taken/file", "x");
  options = small(folder, "taken");
  REQUIRE(titan::exit_code_for(titan::make_encoders(options)) == 2);
  REQUIRE(slurp(folder / "taken/file") == "x");
}

TEST_CASE("titan make-encoders takes its options from the command line", "[tools]") {
  const TemporaryFolder folder;
  const std::string captions = folder.write("captions.txt", shape_captions());
  REQUIRE(titan::make_encoders_main({"--help"}) == 0);
  REQUIRE(titan::make_encoders_main({folder / "out", "--captions", captions, "--t5-width=32",
                                     "--t5-layers=1", "--clip-width=32", "--seed=3"}) == 0);
  REQUIRE(read_json(folder / "out/t5/config.json").at("d_model") == 32);
  REQUIRE(read_json(folder / "out/clip/config.json").at("hidden_size") == 32);
  REQUIRE(titan::make_encoders_main({folder / "other"}) == 2);
  REQUIRE(titan::make_encoders_main({folder / "other", "--captions", captions, "--widht=3"}) == 2);
}
