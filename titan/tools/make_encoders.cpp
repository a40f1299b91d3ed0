#include "titan/tools/make_encoders.h"

#include <cstdio>
#include <filesystem>

#include "titan/base/log.h"
#include "titan/base/outcome.h"
#include "titan/io/atomic_file.h"
#include "titan/io/atomic_folder.h"
#include "titan/tokenizers/byte_pair_trainer.h"
#include "titan/tokenizers/sentence_piece_trainer.h"
#include "titan/tokenizers/t5_tokenizer.h"
#include "titan/tools/arguments.h"
#include "titan/tools/captions.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMakeEncodersHelp =
    "titan make-encoders OUTPUT --captions PATH [options]\n"
    "Writes small text encoders with random weights, OUTPUT/t5 and OUTPUT/clip, in Hugging Face's\n"
    "layout. Their vocabularies are learnt from the captions. OUTPUT appears whole or not at all.\n"
    "  --captions PATH    text file, one caption a line, or a folder of webdataset tars or .txt\n"
    "                     files (a folder of titan make-shapes)\n"
    "  --max-captions N   captions read (200000)\n"
    "  --max-pieces N     pieces of T5's vocabulary at most (4000)\n"
    "  --max-merges N     merges of CLIP's vocabulary at most (4000)\n"
    "  --t5-width N       d_model (128)\n"
    "  --t5-layers N      (2)\n"
    "  --t5-heads N       (4)\n"
    "  --clip-width N     hidden size, the length of the pooled encoding (128)\n"
    "  --clip-layers N    (2)\n"
    "  --clip-heads N     (4)\n"
    "  --seed N           of the weights (0)\n";

Status check_heads(const char* name, std::int64_t width, std::int64_t heads) {
  if (width % heads == 0) return ok_status();
  return invalid_argument("[make-encoders] --", name, "-width must be divisible by --", name,
                          "-heads (", width, ", ", heads, ")");
}

StatusOr<fs::path> make_folder(const fs::path& parent, const char* name) {
  const fs::path folder = parent / name;
  std::error_code error;
  fs::create_directory(folder, error);
  if (error)
    return internal_error("[make-encoders] cannot make ", folder.string(), ": ", error.message());
  return folder;
}

/// Weights and config.json.
template <class Model>
Status write_model(const fs::path& folder, const Model& model, std::uint64_t seed) {
  TITAN_RETURN_IF_ERROR(
      write_file_atomically((folder / "config.json").string(), config_json(model)));
  return write_random_weights((folder / "model.safetensors").string(), parameters_of(model), seed);
}

Status write_t5(const fs::path& parent, const std::vector<std::string>& captions,
                const MakeEncodersOptions& options) {
  TITAN_ASSIGN_OR_RETURN(const fs::path folder, make_folder(parent, "t5"));
  TITAN_ASSIGN_OR_RETURN(const std::string pieces,
                         train_sentence_pieces(captions, options.max_pieces));
  const std::string path = (folder / "spiece.model").string();
  TITAN_RETURN_IF_ERROR(write_file_atomically(path, pieces));
  TITAN_ASSIGN_OR_RETURN(const std::shared_ptr<const Tokenizer> tokenizer, open_t5_tokenizer(path));
  SmallT5 model = options.t5;
  constexpr std::int64_t kRows = 64;  // rows in multiples, as the published models have
  model.vocab_size = (tokenizer->vocabulary_size() + kRows - 1) / kRows * kRows;
  TITAN_LOG(INFO) << "[make-encoders] t5: " << tokenizer->vocabulary_size() << " ids, "
                  << model.num_layers << " layers of width " << model.d_model;
  return write_model(folder, model, options.seed);
}

Status write_clip(const fs::path& parent, const std::vector<std::string>& captions,
                  const MakeEncodersOptions& options) {
  TITAN_ASSIGN_OR_RETURN(const fs::path folder, make_folder(parent, "clip"));
  const BytePairs::Merges merges =
      learn_byte_pairs(captions, static_cast<std::size_t>(options.max_merges));
  const ClipFiles files = clip_files(merges);
  TITAN_RETURN_IF_ERROR(write_file_atomically((folder / "vocab.json").string(), files.vocab_json));
  TITAN_RETURN_IF_ERROR(write_file_atomically((folder / "merges.txt").string(), files.merges_txt));
  SmallClip model = options.clip;
  model.vocab_size = files.num_ids;
  TITAN_LOG(INFO) << "[make-encoders] clip: " << files.num_ids << " ids, " << model.num_layers
                  << " layers of width " << model.width;
  return write_model(folder, model, options.seed);
}

Status run(const Arguments& args) {
  MakeEncodersOptions options;
  if (args.words().size() != 1 || !args.has("captions"))
    return invalid_argument(
        "[make-encoders] needs OUTPUT and --captions PATH (titan make-encoders --help)");
  options.output_folder = args.words()[0];
  options.captions = args.text("captions", "");
  std::int64_t seed = 0;
  struct Field {
    const char* name;
    std::int64_t* value;
    std::int64_t low, high;
  };
  for (const Field& field :
       std::initializer_list<Field>{{"max-captions", &options.max_captions, 1, 100'000'000},
                                    {"max-pieces", &options.max_pieces, 8, 1'000'000},
                                    {"max-merges", &options.max_merges, 1, 48'894},
                                    {"t5-width", &options.t5.d_model, 1, 65'536},
                                    {"t5-layers", &options.t5.num_layers, 1, 1000},
                                    {"t5-heads", &options.t5.num_heads, 1, 1024},
                                    {"clip-width", &options.clip.width, 1, 65'536},
                                    {"clip-layers", &options.clip.num_layers, 1, 1000},
                                    {"clip-heads", &options.clip.num_heads, 1, 1024},
                                    {"seed", &seed, 0, INT64_MAX}}) {
    TITAN_ASSIGN_OR_RETURN(*field.value,
                           args.integer(field.name, *field.value, field.low, field.high));
  }
  options.seed = static_cast<std::uint64_t>(seed);
  return make_encoders(options);
}

}  // namespace

Status make_encoders(const MakeEncodersOptions& options) {
  TITAN_RETURN_IF_ERROR(check_heads("t5", options.t5.d_model, options.t5.num_heads));
  TITAN_RETURN_IF_ERROR(check_heads("clip", options.clip.width, options.clip.num_heads));
  TITAN_ASSIGN_OR_RETURN(AtomicFolder folder, AtomicFolder::create(options.output_folder));
  TITAN_ASSIGN_OR_RETURN(const std::vector<std::string> captions,
                         read_captions(options.captions, options.max_captions));
  TITAN_LOG(INFO) << "[make-encoders] learns two vocabularies from " << captions.size()
                  << " captions of " << options.captions;
  TITAN_RETURN_IF_ERROR(write_t5(folder.path(), captions, options));
  TITAN_RETURN_IF_ERROR(write_clip(folder.path(), captions, options));
  TITAN_RETURN_IF_ERROR(folder.commit());
  TITAN_LOG(INFO) << "[make-encoders] t5 and clip in " << options.output_folder;
  return ok_status();
}

int make_encoders_main(const std::vector<std::string>& args) {
  const auto parsed = Arguments::parse(
      args, {"captions", "max-captions", "max-pieces", "max-merges", "t5-width", "t5-layers",
             "t5-heads", "clip-width", "clip-layers", "clip-heads", "seed", "help"});
  if (!parsed.ok()) return exit_with(annotate(parsed.status(), "make-encoders"));
  if (parsed->has("help")) {
    std::fputs(kMakeEncodersHelp, stdout);
    return 0;
  }
  return exit_with(run(*parsed));
}

}  // namespace titan
