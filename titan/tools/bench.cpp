#include "titan/tools/bench.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <functional>
#include <map>

#include <ATen/Parallel.h>
#include <torch/version.h>

#include "titan/base/argument_vector.h"
#include "titan/base/human.h"
#include "titan/base/outcome.h"
#include "titan/memory/cpu_allocator.h"
#include "titan/parallel/cuda_library.h"
#include "titan/parallel/device_services.h"
#include "titan/parallel/libtorch_log.h"
#include "titan/tools/arguments.h"
#include "titan/tools/bench/job_benches.h"
#include "titan/tools/bench/kernels.h"
#include "titan/train/job_main.h"

namespace titan {
namespace {

using tools::KernelResult;

constexpr const char* kBenchHelp =
    "titan bench WHAT [options]\n"
    "Times titan's parts against what the machine reaches in the same run; prints Markdown "
    "tables.\n"
    "  kernels        operators of the blocks, the optimizer's pass: GB/s, share of a copy's rate\n"
    "  attention      attention, forward and backward: FLOP/s, share of a product's rate\n"
    "  products       the matrix products of a block\n"
    "  all            the three\n"
    "    --device NAME    auto, cpu or cuda (auto)\n"
    "    --dtype NAME     float32 or bfloat16 (bfloat16 on a GPU, float32 on the CPU)\n"
    "    --batch N --tokens N --heads N --head-dim N    sizes (4 512 4 128; on a GPU 32 512 24 "
    "128)\n"
    "    --threads N      of the CPU\n"
    "    --output FILE    appends the tables to a file\n"
    "  loader [--section.key=value ...]        batches of a job's data set: samples/s, MB/s\n"
    "  collectives [--section.key=value ...]   NGPU ranks: GB/s of each collective by size\n"
    "  step [--section.key=value ...]          a job's training steps, one for each line \"step\" "
    "of\n"
    "                                          standard input (scripts/bench_train.py)\n"
    "Each figure is a median of rounds that alternate with plain ATen "
    "(kernels.backend=reference).\n";

struct Request {
  std::string what;
  c10::Device device = c10::kCPU;
  c10::ScalarType dtype = c10::kFloat;
  tools::KernelShape shape;
  std::string output;
};

StatusOr<Request> read_request(const std::vector<std::string>& args) {
  TITAN_ASSIGN_OR_RETURN(const Arguments given,
                         Arguments::parse(args, {"device", "dtype", "batch", "tokens", "heads",
                                                 "head-dim", "threads", "output"}));
  Request request;
  request.what = given.words().empty() ? "" : given.words().front();
  const std::vector<std::string> known = {"kernels", "attention", "products", "all"};
  if (given.words().size() != 1 ||
      std::find(known.begin(), known.end(), request.what) == known.end()) {
    return invalid_argument(
        "[bench] what? one of kernels, attention, products, all, loader, "
        "collectives, step (titan bench --help)");
  }
  TITAN_ASSIGN_OR_RETURN(request.device, parallel::choose_device(given.text("device", "auto"), 0));
  const bool cpu = request.device.is_cpu();
  const std::string dtype = given.text("dtype", cpu ? "float32" : "bfloat16");
  if (dtype != "float32" && dtype != "bfloat16")
    return invalid_argument("[bench] --dtype must be float32 or bfloat16 (given ", dtype, ")");
  request.dtype = dtype == "float32" ? c10::kFloat : c10::kBFloat16;
  constexpr int64_t kMost = 1 << 20;
  const auto size = [&](const char* name, int64_t on_cpu, int64_t on_gpu) {
    return given.integer(name, cpu ? on_cpu : on_gpu, 1, kMost);
  };
  TITAN_ASSIGN_OR_RETURN(request.shape.batch, size("batch", 4, 32));
  TITAN_ASSIGN_OR_RETURN(request.shape.tokens, size("tokens", 512, 512));
  TITAN_ASSIGN_OR_RETURN(request.shape.heads, size("heads", 4, 24));
  TITAN_ASSIGN_OR_RETURN(request.shape.head_dim, size("head-dim", 128, 128));
  TITAN_ASSIGN_OR_RETURN(const int64_t threads, given.integer("threads", 0, 0, kMost));
  if (threads > 0) at::set_num_threads(static_cast<int>(threads));
  request.output = given.text("output", "");
  return request;
}

std::string number(const char* format, double value) {
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

/// One row: memory-bound work as a share of the copy's rate, products of the large product's.
std::string row(const KernelResult& result, const tools::Ceilings& ceilings) {
  const bool products = result.flops > 0;
  const double rate = (products ? result.flops : result.bytes) / result.seconds;
  const double ceiling = products ? ceilings.gemm_flop_per_s : ceilings.copy_bytes_per_s;
  return str_cat("| ", result.name, " | ", number("%.3f", 1e3 * result.seconds), " | ",
                 number("%.1f", 1e-9 * rate), products ? " GFLOP/s" : " GB/s", " | ",
                 number("%.0f", 100 * rate / ceiling), " % | ",
                 number("%.2f", result.reference_seconds / result.seconds), "x |\n");
}

std::string device_text(c10::Device device) {
  parallel::DeviceServices* services = parallel::device_services();
  if (device.is_cuda() && services != nullptr) return services->name(device.index());
  return str_cat("CPU, ", at::get_num_threads(), " threads");
}

std::string table(const Request& request) {
  const tools::Ceilings ceilings = tools::measure_ceilings(request.device, request.dtype);
  std::vector<KernelResult> results;
  const auto add = [&](const char* what, const auto& bench) {
    if (request.what != what && request.what != "all") return;
    for (KernelResult& result : bench(request.device, request.dtype, request.shape))
      results.push_back(std::move(result));
  };
  add("kernels", tools::bench_elementwise);
  add("kernels", tools::bench_float8);
  add("attention", tools::bench_attention);
  add("products", tools::bench_products);
  const tools::KernelShape& shape = request.shape;
  std::string text = str_cat(
      "## titan bench ", request.what, "\n\n", device_text(request.device), ", LibTorch ",
      TORCH_VERSION, "; batch ", shape.batch, ", ", shape.tokens, " tokens, ", shape.heads,
      " heads of ", shape.head_dim, ", ", c10::toString(request.dtype),
      ".\nCeilings: ", ceilings.copy_text, " ", number("%.1f", 1e-9 * ceilings.copy_bytes_per_s),
      " GB/s (read and written); ", ceilings.gemm_text, " ",
      number("%.1f", 1e-9 * ceilings.gemm_flop_per_s), " GFLOP/s.\n\n",
      "| work | ms | rate | of the ceiling | faster than plain ATen |\n|---|---|---|---|---|\n");
  for (const KernelResult& result : results) text += row(result, ceilings);
  return text;
}

Status bench(const std::vector<std::string>& args) {
  TITAN_ASSIGN_OR_RETURN(const Request request, read_request(args));
  const std::string text = table(request);
  std::fputs(text.c_str(), stdout);
  if (request.output.empty()) return ok_status();
  std::ofstream file(request.output, std::ios::app);
  file << text << "\n";
  if (!file.flush()) return invalid_argument("[bench] cannot write ", request.output);
  return ok_status();
}

/// Those that are jobs, with ranks and settings.
const std::map<std::string, std::function<StatusOr<JobOutcome>(const JobContext&)>>& job_benches() {
  static const std::map<std::string, std::function<StatusOr<JobOutcome>(const JobContext&)>> all = {
      {"loader", tools::bench_loader},
      {"collectives", tools::bench_collectives},
      {"step", tools::bench_step}};
  return all;
}

int bench_job(const std::vector<std::string>& args) {
  ArgumentVector words("bench", args);
  return job_main(words.count(), words.data(),
                  {.name = "titan bench " + args.front(),
                   .default_config = args.front() == "loader" ? "dit_shapes" : "",
                   .leading_words = 2,
                   .run = job_benches().at(args.front())});
}

}  // namespace

int bench_main(const std::vector<std::string>& args) {
  if (args.empty() || args.front() == "--help" || args.front() == "-h") {
    std::fputs(kBenchHelp, stdout);
    return args.empty() ? 2 : 0;
  }
  if (job_benches().count(args.front()) != 0) return bench_job(args);
  parallel::quiet_libtorch();
  parallel::load_cuda_library();
  memory::install_cpu_allocator();
  const Status status = bench(args);
  return exit_with(status);
}

}  // namespace titan
