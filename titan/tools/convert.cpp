#include "titan/tools/convert.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "titan/base/log.h"
#include "titan/base/outcome.h"
#include "titan/base/printable.h"
#include "titan/checkpoint/weight_source.h"
#include "titan/config/nearest.h"
#include "titan/models/builtin.h"
#include "titan/protocols/model_spec.h"
#include "titan/protocols/weight_problems.h"
#include "titan/tools/arguments.h"
#include "titan/tools/convert_output.h"

namespace titan {
namespace {

namespace fs = std::filesystem;
using checkpoint::WeightSource;

constexpr const char* kConvertHelp =
    "titan convert INPUT OUTPUT --to=FORMAT [options]\n"
    "Copies a model's weights under other names, tensor by tensor.\n"
    "  INPUT              safetensors (a file, an index, or a folder with one), or of titan a run "
    "folder, a\n"
    "                     folder of checkpoints (the newest is taken) or one checkpoint\n"
    "  OUTPUT             NAME.safetensors for one file, else a new folder\n"
    "  --to FORMAT        bfl (Black Forest Labs, which are titan's own names), diffusers, "
    "torchtitan; own\n"
    "                     for models with no other names; titan: a checkpoint of step 0 to train "
    "from\n"
    "  --from FORMAT      names of INPUT (found out)\n"
    "  --dtype TYPE       float32, bfloat16 or float16 (as stored)\n"
    "  --weights WHICH    model, or ema: the averaged weights of a checkpoint (model)\n"
    "  --shard-size GB    largest file of a folder, in 10^9 bytes (10)\n"
    "Nothing is overwritten, and OUTPUT appears when it is complete.\n";

/// A model's formats and the one of the input.
struct Recognised {
  std::shared_ptr<const WeightFormats> formats;
  std::string from;
};

Status unknown_format(const char* option, const std::string& name,
                      const std::vector<std::string>& known) {
  const std::string nearest = config::nearest_match(name, known);
  return invalid_argument("[convert] --", option, " must be one of ", listed(known), " (given ",
                          name, nearest.empty() ? "" : "; did you mean " + nearest + "?", ")");
}

StatusOr<Recognised> recognise(const WeightSource& source, const std::string& wanted) {
  std::vector<std::string> known;
  for (const std::string& name : model_names()) {
    TITAN_ASSIGN_OR_RETURN(const ModelSpec* spec, find_model(name));
    if (!spec->weight_formats) continue;
    const std::vector<std::string> formats = spec->weight_formats->names();
    known.insert(known.end(), formats.begin(), formats.end());
    if (std::find(formats.begin(), formats.end(), wanted) != formats.end())
      return Recognised{spec->weight_formats, wanted};
    const std::string found = spec->weight_formats->detect(source.tensors());
    if (wanted.empty() && !found.empty()) return Recognised{spec->weight_formats, found};
  }
  const auto own = own_names_only();
  if (wanted == own->names().front() || (wanted.empty() && source.is_checkpoint()))
    return Recognised{own, own->names().front()};
  if (!wanted.empty()) {
    known.push_back(own->names().front());
    return unknown_format("from", wanted, known);
  }
  return invalid_argument("[convert] the names in ", source.path(),
                          " are those of no model that titan knows (", listed(known),
                          "); the first are ", first_names(source.tensors()),
                          ". --from=own takes them as they are");
}

StatusOr<std::optional<TensorType>> wanted_type(const Arguments& options) {
  const std::string name = options.text("dtype", "");
  if (name.empty()) return std::optional<TensorType>();
  if (name == "float32") return std::optional(TensorType::kF32);
  if (name == "bfloat16") return std::optional(TensorType::kBF16);
  if (name == "float16") return std::optional(TensorType::kF16);
  return unknown_format("dtype", name, {"float32", "bfloat16", "float16"});
}

Status refuse_existing(const std::string& output) {
  std::error_code error;
  if (!fs::exists(output, error)) return ok_status();
  if (fs::is_directory(output, error) && fs::is_empty(output, error)) return ok_status();
  return invalid_argument("[convert] ", output,
                          " exists already; nothing is overwritten: remove it, or name another");
}

Status convert(const Arguments& options) {
  if (options.words().size() != 2 || !options.has("to"))
    return invalid_argument(
        "[convert] an input, an output and --to=FORMAT are needed; titan convert --help");
  const std::string which = options.text("weights", "model");
  if (which != "model" && which != "ema") return unknown_format("weights", which, {"model", "ema"});
  TITAN_ASSIGN_OR_RETURN(const std::optional<TensorType> type, wanted_type(options));
  TITAN_ASSIGN_OR_RETURN(const double gigabytes, options.real("shard-size", 10, 1e-6, 1e6));
  ConvertedWeights result{.path = options.words()[1],
                          .format = options.text("to", ""),
                          .type = type,
                          .max_shard_bytes = static_cast<std::uint64_t>(gigabytes * 1e9)};
  while (result.path.size() > 1 && result.path.back() == '/') result.path.pop_back();
  TITAN_RETURN_IF_ERROR(refuse_existing(result.path));
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<WeightSource> source,
                         WeightSource::open(options.words()[0], which));
  TITAN_ASSIGN_OR_RETURN(const Recognised input, recognise(*source, options.text("from", "")));
  std::vector<std::string> targets = input.formats->names();
  targets.push_back("titan");
  if (std::find(targets.begin(), targets.end(), result.format) == targets.end())
    return unknown_format("to", result.format, targets);
  if (result.format == "titan" && type.value_or(TensorType::kF32) != TensorType::kF32)
    return invalid_argument(
        "[convert] checkpoints of titan hold float32 (--dtype=", options.text("dtype", ""), ")");
  TITAN_LOG(INFO) << "[convert] " << source->path() << ": "
                  << input.formats->describe(source->tensors(), input.from) << "; names of "
                  << input.from;
  StatusOr<std::vector<TensorRecipe>> recipes = input.formats->recipes(
      source->tensors(), input.from, result.format == "titan" ? targets.front() : result.format);
  if (!recipes.ok()) return annotate(recipes.status(), "[convert] " + source->path());
  result.recipes = std::move(*recipes);
  result.companions = input.formats->companions(source->tensors(), input.from, result.format);
  TITAN_RETURN_IF_ERROR(source->verify());
  TITAN_RETURN_IF_ERROR(write_converted(*source, result));
  std::printf("%s: %zu tensors in %s's names\n", result.path.c_str(), result.recipes.size(),
              result.format.c_str());
  return ok_status();
}

}  // namespace

int convert_main(const std::vector<std::string>& args) {
  const auto parsed =
      Arguments::parse(args, {"to", "from", "dtype", "weights", "shard-size", "help"});
  if (parsed.ok() && parsed->has("help")) {
    std::fputs(kConvertHelp, stdout);
    return 0;
  }
  Status status =
      parsed.ok() ? models::register_builtin_models() : annotate(parsed.status(), "convert");
  if (status.ok()) status = convert(*parsed);
  return exit_with(status);
}

}  // namespace titan
