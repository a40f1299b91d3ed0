// The command lines of `titan make-shapes` and `titan check-shapes`.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "titan/base/outcome.h"
#include "titan/io/image_decode.h"
#include "titan/tools/arguments.h"
#include "titan/tools/make_shapes.h"
#include "titan/tools/shape_checker.h"
#include "titan/tools/shapes.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMakeHelp =
    "titan make-shapes --output DIR [options]\n"
    "Renders ten classes of coloured shapes into webdataset tars (jpg, cls, txt, json) and "
    "classes.txt.\n"
    "  --output DIR       folder to make; left alone if it holds the same data set already\n"
    "  --samples N        pictures (20000)\n"
    "  --image-size N     pixels a side (64)\n"
    "  --shard-size N     samples of one tar (2000)\n"
    "  --seed N           another seed, other pictures (0)\n"
    "  --quality N        of the JPEGs, 1 to 100 (92)\n"
    "  --threads N        0 = one a core (0)\n"
    "  --wordings one|many  many: captions in several wordings, and prompts_unseen.txt in others "
    "(one)\n";

constexpr const char* kCheckHelp =
    "titan check-shapes DIR [options]\n"
    "Says for each PNG, JPEG or WebP in DIR which shape it shows, in which colour, and counts "
    "those that show the\n"
    "class in their name (\"red_circle-3.png\").\n"
    "  --expect NAME      the class of all files, instead of their names\n"
    "  --at-least X       exit code 1 where a smaller share is right\n";

Status run_make(const Arguments& args) {
  MakeShapesOptions options;
  options.output_folder = args.text("output", args.words().empty() ? "" : args.words()[0]);
  constexpr std::int64_t kMany = 100'000'000;
  TITAN_ASSIGN_OR_RETURN(options.num_samples,
                         args.integer("samples", options.num_samples, 1, kMany));
  TITAN_ASSIGN_OR_RETURN(const std::int64_t size,
                         args.integer("image-size", options.image_size, 16, 1024));
  TITAN_ASSIGN_OR_RETURN(options.samples_per_shard,
                         args.integer("shard-size", options.samples_per_shard, 1, 1'000'000));
  TITAN_ASSIGN_OR_RETURN(const std::int64_t seed, args.integer("seed", 0, 0, INT64_MAX));
  TITAN_ASSIGN_OR_RETURN(const std::int64_t quality,
                         args.integer("quality", options.quality, 1, 100));
  TITAN_ASSIGN_OR_RETURN(const std::int64_t threads, args.integer("threads", 0, 0, 1024));
  const std::string wordings = args.text("wordings", "one");
  if (wordings != "one" && wordings != "many")
    return invalid_argument("[make-shapes] --wordings must be one or many (", wordings, ")");
  options.many_wordings = wordings == "many";
  options.image_size = static_cast<int>(size);
  options.seed = static_cast<std::uint64_t>(seed);
  options.quality = static_cast<int>(quality);
  options.num_threads = static_cast<int>(threads);
  return make_shapes(options);
}

/// Class whose name stands in `text` ("red_circle-3"), or -1.
int label_in(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char letter) { return letter == '_' || letter == '-'; }, ' ');
  for (int label = 0; label < kNumShapeClasses; ++label)
    if (text.find(shape_class_name(label)) != std::string::npos) return label;
  return -1;
}

StatusOr<std::vector<fs::path>> image_files(const std::string& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string extension = entry.path().extension().string();
    if (extension == ".png" || extension == ".jpg" || extension == ".jpeg" || extension == ".webp")
      files.push_back(entry.path());
  }
  if (error)
    return invalid_argument("[check-shapes] cannot read the folder (", folder, ": ",
                            error.message(), ")");
  if (files.empty())
    return invalid_argument("[check-shapes] the folder has no PNG, JPEG or WebP (", folder, ")");
  std::sort(files.begin(), files.end());
  return files;
}

StatusOr<int> run_check(const Arguments& args) {
  if (args.words().size() != 1)
    return invalid_argument("[check-shapes] needs one folder (see --help)");
  const int expected_of_all = args.has("expect") ? label_in(args.text("expect", "")) : -1;
  if (args.has("expect") && expected_of_all < 0)
    return invalid_argument("[check-shapes] --expect must name a class (", args.text("expect", ""),
                            ")");
  TITAN_ASSIGN_OR_RETURN(const double at_least, args.real("at-least", 0.0, 0.0, 1.0));
  TITAN_ASSIGN_OR_RETURN(const std::vector<fs::path> files, image_files(args.words()[0]));
  int num_expected = 0, num_right = 0;
  for (const fs::path& file : files) {
    std::ifstream in(file, std::ios::binary);
    const std::vector<std::uint8_t> bytes((std::istreambuf_iterator<char>(in)),
                                          std::istreambuf_iterator<char>());
    const StatusOr<Image> image = decode_image(bytes);
    if (!image.ok()) return annotate(image.status(), file.string());
    const ShapeGuess guess = classify_shape(*image);
    const int expected = expected_of_all >= 0 ? expected_of_all : label_in(file.stem().string());
    const bool right = expected >= 0 && guess.shows(expected);
    num_expected += expected >= 0 ? 1 : 0;
    num_right += right ? 1 : 0;
    std::printf("%s: %s%s\n", file.filename().c_str(), guess.name().c_str(),
                expected < 0 ? ""
                : right      ? ", right"
                             : ", wrong");
  }
  if (num_expected == 0) return 0;
  const double share = static_cast<double>(num_right) / num_expected;
  std::printf("%d of %d right (%.3f)\n", num_right, num_expected, share);
  return share >= at_least ? 0 : 1;
}

}  // namespace

int make_shapes_main(const std::vector<std::string>& args) {
  const auto parsed = Arguments::parse(args, {"output", "samples", "image-size", "shard-size",
                                              "seed", "quality", "threads", "wordings", "help"});
  if (!parsed.ok()) return exit_with(annotate(parsed.status(), "make-shapes"));
  if (parsed->has("help")) {
    std::fputs(kMakeHelp, stdout);
    return 0;
  }
  return exit_with(run_make(*parsed));
}

int check_shapes_main(const std::vector<std::string>& args) {
  const auto parsed = Arguments::parse(args, {"expect", "at-least", "help"});
  if (!parsed.ok()) return exit_with(annotate(parsed.status(), "check-shapes"));
  if (parsed->has("help")) {
    std::fputs(kCheckHelp, stdout);
    return 0;
  }
  const StatusOr<int> code = run_check(*parsed);
  return code.ok() ? *code : exit_with(code.status());
}

}  // namespace titan
