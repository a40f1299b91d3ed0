#include "titan/tools/report.h"

#include <csignal>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <set>

#include "titan/base/human.h"
#include "titan/base/log.h"
#include "titan/base/outcome.h"
#include "titan/io/atomic_file.h"
#include "titan/report/report_page.h"
#include "titan/tools/arguments.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHelp =
    "titan report RUN... [options]\n"
    "Writes one HTML file that opens from disk and fetches nothing: curves of all runs over one\n"
    "another, where the time went, sample grids, settings that differ, events, facts. RUN is a "
    "run's\n"
    "folder, or its name in outputs/. A run that is still writing or was cut short is shown as far "
    "as\n"
    "it goes, with what is missing.\n"
    "  --output FILE      the page (default: RUN/report.html; report.html for several runs)\n"
    "  --watch            write it again until all runs have ended; the page loads itself again\n"
    "  --interval S       seconds between, with --watch (10)\n"
    "  --pictures-kib K   size of all sample pictures together, before base64 (1000)\n";

struct Request {
  std::vector<fs::path> runs;
  std::string output;
  bool watch = false;
  std::int64_t interval_s = 10;
  report::PageOptions page;
};

StatusOr<Request> parse_request(const Arguments& parsed, bool watch) {
  if (parsed.words().empty())
    return invalid_argument("[report] names no run; titan report --help has the options");
  Request request;
  request.watch = watch;
  std::set<fs::path> seen;
  for (const std::string& word : parsed.words()) {
    std::error_code ignored;
    const fs::path inside = fs::path("outputs") / word;
    const bool by_name = !fs::exists(word, ignored) && fs::is_directory(inside, ignored);
    request.runs.push_back(by_name ? inside : fs::path(word));
    if (!seen.insert(fs::weakly_canonical(request.runs.back(), ignored)).second)
      return invalid_argument("[report] ", word, " is given twice");
  }
  if (parsed.has("watch")) return invalid_argument("[report] --watch takes no value");
  if (parsed.has("interval") && !watch)
    return invalid_argument("[report] --interval is the time between two pages of --watch");
  TITAN_ASSIGN_OR_RETURN(request.interval_s, parsed.integer("interval", 10, 1, 86'400));
  TITAN_ASSIGN_OR_RETURN(const std::int64_t kib,
                         parsed.integer("pictures-kib", 1000, 16, std::int64_t{1} << 20));
  request.page.picture_bytes = static_cast<std::size_t>(kib) << 10;
  request.output =
      parsed.text("output", request.runs.size() == 1 ? (request.runs[0] / "report.html").string()
                                                     : "report.html");
  return request;
}

std::string local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  char text[64];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %Z", &parts);
  return text;
}

StatusOr<std::vector<report::RunFiles>> read_runs(const Request& request) {
  std::vector<report::RunFiles> runs;
  for (const fs::path& path : request.runs) {
    TITAN_ASSIGN_OR_RETURN(report::RunFiles run, report::read_run(path));
    runs.push_back(std::move(run));
  }
  return runs;
}

Status write_page(const Request& request, const std::vector<report::RunFiles>& runs, bool goes_on,
                  report::GridPacker& packer, bool say) {
  report::PageOptions options = request.page;
  options.reload_s = goes_on ? request.interval_s : 0;
  options.written = local_time();
  const std::string page = report::render_page(runs, options, packer);
  TITAN_RETURN_IF_ERROR(write_file_atomically(request.output, page));
  if (!say) return ok_status();
  for (const report::RunFiles& run : runs)
    for (const std::string& note : run.notes)
      TITAN_LOG(WARNING) << "[report] " << run.name << ": " << note;
  TITAN_LOG(INFO) << "[report] " << request.output << " ("
                  << human_bytes(static_cast<double>(page.size())) << ")"
                  << (goes_on ? "; written again until the run has ended" : "");
  return ok_status();
}

bool any_running(const std::vector<report::RunFiles>& runs) {
  for (const report::RunFiles& run : runs)
    if (run.state == report::RunState::kRunning) return true;
  return false;
}

/// Waits, or returns true at once where somebody asks this program to end.
bool interrupted(const sigset_t& signals, std::int64_t seconds) {
  const timespec wait{.tv_sec = seconds, .tv_nsec = 0};
  return sigtimedwait(&signals, nullptr, &wait) > 0;
}

/// A run that nobody holds at two looks in a row has ended: one that starts again in place has the
/// time between them. The last page written does not load itself again.
Status watch(const Request& request, report::GridPacker& packer) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  int quiet_looks = 0;
  for (bool first = true;; first = false) {
    TITAN_ASSIGN_OR_RETURN(const auto runs, read_runs(request));
    quiet_looks = any_running(runs) ? 0 : quiet_looks + 1;
    const bool goes_on = quiet_looks < 2;
    TITAN_RETURN_IF_ERROR(write_page(request, runs, goes_on, packer, first || !goes_on));
    if (!goes_on) return ok_status();
    if (interrupted(signals, request.interval_s))
      return write_page(request, runs, /*goes_on=*/false, packer, /*say=*/true);
  }
}

Status run_report(const Request& request) {
  report::GridPacker packer;
  if (request.watch) return watch(request, packer);
  TITAN_ASSIGN_OR_RETURN(const auto runs, read_runs(request));
  return write_page(request, runs, /*goes_on=*/false, packer, /*say=*/true);
}

}  // namespace

int report_main(const std::vector<std::string>& args) {
  std::vector<std::string> others;
  for (const std::string& arg : args)
    if (arg != "--watch") others.push_back(arg);
  const auto parsed =
      Arguments::parse(others, {"help", "output", "watch", "interval", "pictures-kib"});
  if (parsed.ok() && parsed->has("help")) {
    std::fputs(kHelp, stdout);
    return 0;
  }
  const StatusOr<Request> request = parsed.ok()
                                        ? parse_request(*parsed, others.size() != args.size())
                                        : StatusOr<Request>(annotate(parsed.status(), "[report]"));
  const Status status = request.ok() ? run_report(*request) : request.status();
  return exit_with(status);
}

}  // namespace titan
