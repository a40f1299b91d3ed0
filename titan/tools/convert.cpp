#include "titan/tools/convert.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>

#include "titan/base/human.h"
#include "titan/base/log.h"
#include "titan/checkpoint/weight_export.h"
#include "titan/checkpoint/weight_source.h"
#include "titan/config/nearest.h"
#include "titan/io/atomic_file.h"
#include "titan/io/errno_status.h"
#include "titan/models/builtin.h"
#include "titan/protocols/model_spec.h"
#include "titan/tools/arguments.h"

namespace titan {
namespace {

namespace fs = std::filesystem;
using checkpoint::WeightSource;

constexpr const char* kHelp =
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

std::string joined(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) text += (text.empty() ? "" : ", ") + item;
  return text;
}

Status unknown_format(const char* option, const std::string& name,
                      const std::vector<std::string>& known) {
  const std::string nearest = config::nearest_match(name, known);
  return invalid_argument("[convert] --", option, " must be one of ", joined(known), " (given ",
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
  std::vector<std::string> first;
  for (const TensorSpec& tensor : source.tensors())
    if (first.size() < 5) first.push_back(tensor.name);
  return invalid_argument(
      "[convert] the names in ", source.path(), " are those of no model that titan knows (",
      joined(known), "); the first are ", joined(first), ". --from=own takes them as they are");
}

StatusOr<std::optional<TensorType>> wanted_type(const Arguments& options) {
  const std::string name = options.text("dtype", "");
  if (name.empty()) return std::optional<TensorType>();
  if (name == "float32") return std::optional(TensorType::kF32);
  if (name == "bfloat16") return std::optional(TensorType::kBF16);
  if (name == "float16") return std::optional(TensorType::kF16);
  return unknown_format("dtype", name, {"float32", "bfloat16", "float16"});
}

/// Says how far it is, every few seconds.
class ProgressLog {
 public:
  explicit ProgressLog(std::uint64_t total) : total_(static_cast<double>(total)) {}
  void operator()(std::uint64_t bytes) {
    constexpr double kInterval = 5;
    const auto now = std::chrono::steady_clock::now();
    if (std::chrono::duration<double>(now - shown_).count() < kInterval) return;
    shown_ = now;
    const double seconds = std::chrono::duration<double>(now - began_).count();
    const auto done = static_cast<double>(bytes);
    TITAN_LOG(INFO) << "[convert] " << human_bytes(done) << " of " << human_bytes(total_) << ", "
                    << human_bytes(done / seconds) << "/s, "
                    << human_duration((total_ - done) * seconds / done) << " left";
  }

 private:
  double total_;
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point shown_ = began_;
};

Status refuse_existing(const std::string& output) {
  std::error_code error;
  if (!fs::exists(output, error)) return ok_status();
  if (fs::is_directory(output, error) && fs::is_empty(output, error)) return ok_status();
  return invalid_argument("[convert] ", output,
                          " exists already; nothing is overwritten: remove it, or name another");
}

Status make_folder(const fs::path& folder) {
  std::error_code error;
  if (!folder.empty()) fs::create_directories(folder, error);
  return error ? errno_status(error.value(), "make folder", folder.string()) : ok_status();
}

/// What is asked for, checked.
struct Job {
  std::string output;
  std::string to;
  Recognised input;
  std::vector<TensorRecipe> recipes;
  double shard_bytes = 0;
};

Status write_folder(WeightSource& source, const Job& job, const std::vector<TensorSpec>& specs) {
  const std::string temporary = job.output + ".tmp";
  std::error_code error;
  fs::remove_all(temporary, error);
  TITAN_RETURN_IF_ERROR(make_folder(temporary));
  const auto write = [&]() -> Status {
    TITAN_ASSIGN_OR_RETURN(
        ShardPlan plan,
        plan_shards(temporary, job.to == "diffusers" ? "diffusion_pytorch_model" : "model", specs,
                    static_cast<std::uint64_t>(job.shard_bytes)));
    ProgressLog progress(plan.total_bytes);
    TITAN_RETURN_IF_ERROR(checkpoint::export_to_files(source, job.recipes, std::move(plan),
                                                      {{"format", "pt"}}, std::ref(progress)));
    for (const auto& [name, text] :
         job.input.formats->companions(source.tensors(), job.input.from, job.to))
      TITAN_RETURN_IF_ERROR(write_file_atomically(temporary + "/" + name, text));
    return ok_status();
  };
  Status status = write();
  if (status.ok()) {
    fs::remove(job.output, error);  // an empty folder
    fs::rename(temporary, job.output, error);
    if (error) status = errno_status(error.value(), "rename to", job.output);
  }
  if (!status.ok()) fs::remove_all(temporary, error);
  return status;
}

Status write_output(WeightSource& source, Job& job, std::optional<TensorType> type) {
  if (job.to == "titan") {
    job.recipes = checkpoint::in_file_order(std::move(job.recipes), TensorType::kF32);
    std::vector<TensorSpec> whole;
    for (const TensorRecipe& recipe : job.recipes) whole.push_back(recipe.tensor);
    TITAN_ASSIGN_OR_RETURN(const ShardPlan plan, plan_one_file(job.output, std::move(whole)));
    ProgressLog progress(plan.total_bytes);
    return checkpoint::export_to_checkpoint(source, job.recipes, job.output, std::ref(progress));
  }
  job.recipes = checkpoint::in_file_order(std::move(job.recipes), type);
  std::vector<TensorSpec> specs;
  for (const TensorRecipe& recipe : job.recipes) specs.push_back(recipe.tensor);
  if (!job.output.ends_with(".safetensors")) return write_folder(source, job, specs);
  TITAN_RETURN_IF_ERROR(make_folder(fs::path(job.output).parent_path()));
  TITAN_ASSIGN_OR_RETURN(ShardPlan plan, plan_one_file(job.output, std::move(specs)));
  ProgressLog progress(plan.total_bytes);
  return checkpoint::export_to_files(source, job.recipes, std::move(plan), {{"format", "pt"}},
                                     std::ref(progress));
}

Status convert(const Arguments& options) {
  if (options.words().size() != 2 || !options.has("to"))
    return invalid_argument(
        "[convert] an input, an output and --to=FORMAT are needed; titan convert --help");
  const std::string which = options.text("weights", "model");
  if (which != "model" && which != "ema") return unknown_format("weights", which, {"model", "ema"});
  TITAN_ASSIGN_OR_RETURN(const std::optional<TensorType> type, wanted_type(options));
  TITAN_ASSIGN_OR_RETURN(const double gigabytes, options.real("shard-size", 10, 1e-6, 1e6));
  Job job{.output = options.words()[1],
          .to = options.text("to", ""),
          .input = {},
          .recipes = {},
          .shard_bytes = gigabytes * 1e9};
  while (job.output.size() > 1 && job.output.back() == '/') job.output.pop_back();
  TITAN_RETURN_IF_ERROR(refuse_existing(job.output));
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<WeightSource> source,
                         WeightSource::open(options.words()[0], which));
  TITAN_ASSIGN_OR_RETURN(job.input, recognise(*source, options.text("from", "")));
  std::vector<std::string> targets = job.input.formats->names();
  targets.push_back("titan");
  if (std::find(targets.begin(), targets.end(), job.to) == targets.end())
    return unknown_format("to", job.to, targets);
  if (job.to == "titan" && type.value_or(TensorType::kF32) != TensorType::kF32)
    return invalid_argument(
        "[convert] checkpoints of titan hold float32 (--dtype=", options.text("dtype", ""), ")");
  TITAN_LOG(INFO) << "[convert] " << source->path() << ": "
                  << job.input.formats->describe(source->tensors(), job.input.from) << "; names of "
                  << job.input.from;
  StatusOr<std::vector<TensorRecipe>> recipes = job.input.formats->recipes(
      source->tensors(), job.input.from, job.to == "titan" ? targets.front() : job.to);
  if (!recipes.ok()) return annotate(recipes.status(), "[convert] " + source->path());
  job.recipes = std::move(*recipes);
  TITAN_RETURN_IF_ERROR(source->verify());
  TITAN_RETURN_IF_ERROR(write_output(*source, job, type));
  std::printf("%s: %zu tensors in %s's names\n", job.output.c_str(), job.recipes.size(),
              job.to.c_str());
  return ok_status();
}

}  // namespace

int convert_main(const std::vector<std::string>& args) {
  const auto parsed =
      Arguments::parse(args, {"to", "from", "dtype", "weights", "shard-size", "help"});
  if (parsed.ok() && parsed->has("help")) {
    std::fputs(kHelp, stdout);
    return 0;
  }
  Status status =
      parsed.ok() ? models::register_builtin_models() : annotate(parsed.status(), "convert");
  if (status.ok()) status = convert(*parsed);
  if (status.ok()) return 0;
  TITAN_LOG(ERROR) << message_of(status);
  return exit_code_for(status);
}

}  // namespace titan
