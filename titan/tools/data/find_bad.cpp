#include "titan/tools/data/find_bad.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <utility>

#include "titan/base/log.h"
#include "titan/base/outcome.h"
#include "titan/base/printable.h"
#include "titan/io/atomic_file.h"
#include "titan/tools/data/action.h"
#include "titan/tools/data/find_bad_state.h"
#include "titan/tools/data/image_rows.h"
#include "titan/tools/data/ordered_work.h"
#include "titan/tools/data/row_list.h"

namespace titan::tools {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr const char* kFindBadHelp =
    "titan convert-data find-bad INPUT --output FILE [options]\n"
    "Reads and decodes every row of INPUT, a folder of webdataset tars or of save_to_disk, and\n"
    "writes the indices of those that cannot be read, one a line: the filter file of clean-cc12m.\n"
    "Rows count from 0 over the tars in sorted order. Interrupted, it goes on where it was.\n"
    "  --output FILE   the filter file; must not exist\n"
    "  --causes FILE   a table of index, name and cause as well\n"
    "  --threads N     workers (one a core)\n";

volatile std::sig_atomic_t stop_signal = 0;

/// The message without what differs from row to row: numbers and what stands in parentheses.
std::string kind_of(const std::string& cause) {
  std::string kind = cause.substr(0, cause.find(" ("));
  std::erase_if(kind, [](unsigned char c) { return c >= '0' && c <= '9'; });
  return kind;
}

void log_summary(const FindBadState& state) {
  std::map<std::string, std::pair<int64_t, std::string>> kinds;
  for (const BadRow& row : state.bad) {
    auto& [count, example] = kinds[kind_of(row.cause)];
    if (count++ == 0) example = row.name;
  }
  for (const auto& [kind, found] : kinds)
    TITAN_LOG(INFO) << "[find-bad] " << found.first << " x " << kind << " (first "
                    << printable(found.second) << ")";
}

std::string causes_table(const FindBadState& state) {
  std::string table = "index\tname\tcause\n";
  for (const BadRow& row : state.bad) {
    std::string cause = row.cause;
    std::replace_if(
        cause.begin(), cause.end(), [](char c) { return c == '\t' || c == '\n' || c == '\r'; },
        ' ');
    table += str_cat(row.index, "\t", printable(row.name), "\t", cause, "\n");
  }
  return table;
}

Status check_free(const std::string& path) {
  std::error_code ignored;
  if (path.empty() || !fs::exists(path, ignored)) return ok_status();
  return failed_precondition("[find-bad] ", path, " is there already: it is never overwritten");
}

}  // namespace

Status find_bad(const FindBadOptions& options) {
  TITAN_RETURN_IF_ERROR(check_free(options.output));
  TITAN_RETURN_IF_ERROR(check_free(options.causes));
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<ImageRows> rows,
                         open_image_rows(options.input, "find-bad"));
  const std::string state_path = options.output + ".progress";
  TITAN_ASSIGN_OR_RETURN(FindBadState state, load_state(state_path, rows->fingerprint()));
  ActionProgress progress("find-bad", "rows");
  if (state.next > 0) {
    TITAN_LOG(INFO) << "[find-bad] goes on at row " << state.next << " (" << state_path << ")";
    TITAN_RETURN_IF_ERROR(rows->read(state.next).status());  // opens the files before it
    progress.resume_at(state.next, rows->share_before(state.next));
  }
  const auto make = [&](int64_t i) -> StatusOr<std::optional<BadRow>> {
    TITAN_ASSIGN_OR_RETURN(const std::optional<ImageRow> row, rows->read(i));
    if (!row) return std::nullopt;
    const Status status = check_image_row(*row);
    return BadRow{i, row->name(), status.ok() ? "" : message_of(status)};
  };
  Clock::time_point saved = Clock::now();
  bool stopped = false;
  const auto use = [&](int64_t i, BadRow row) -> StatusOr<bool> {
    if (!row.cause.empty()) state.bad.push_back(std::move(row));
    state.next = i + 1;
    progress.tell(state.next, rows->share_before(state.next));
    stopped = options.stop && options.stop();
    const auto now = Clock::now();
    if (stopped || now - saved >= std::chrono::duration<double>(options.save_every_s)) {
      saved = now;
      TITAN_RETURN_IF_ERROR(save_state(state_path, state));
    }
    return !stopped;
  };
  TITAN_RETURN_IF_ERROR(
      ordered_work<BadRow>(state.next, num_workers(options.num_threads), make, use));
  if (stopped)
    return {absl::StatusCode::kCancelled, str_cat("[find-bad] stopped after ", state.next,
                                                  " rows; the same command goes on from there")};
  std::vector<int64_t> indices;
  for (const BadRow& row : state.bad) indices.push_back(row.index);
  if (!options.causes.empty())
    TITAN_RETURN_IF_ERROR(write_file_atomically(options.causes, causes_table(state)));
  TITAN_RETURN_IF_ERROR(write_file_atomically(options.output, render_row_list(indices)));
  std::error_code ignored;
  fs::remove(state_path, ignored);
  log_summary(state);
  TITAN_LOG(INFO) << "[find-bad] " << indices.size() << " of " << state.next
                  << " rows cannot be read: " << options.output << ", " << progress.seconds()
                  << " s";
  return ok_status();
}

int find_bad_main(const std::vector<std::string>& args) {
  const auto parsed = parse_action("find-bad", args, {"output", "causes", "threads"}, 1);
  if (!parsed.ok()) return exit_with(parsed.status());
  if (parsed->has("help")) {
    std::fputs(kFindBadHelp, stdout);
    return 0;
  }
  if (parsed->text("output", "").empty())
    return exit_with(invalid_argument("[find-bad] needs --output FILE"));
  const auto threads = parsed->integer("threads", 0, 1, 4096);
  if (!threads.ok()) return exit_with(annotate(threads.status(), "find-bad"));
  for (const int number : {SIGINT, SIGTERM}) std::signal(number, [](int n) { stop_signal = n; });
  const Status status = find_bad({.input = parsed->words()[0],
                                  .output = parsed->text("output", ""),
                                  .causes = parsed->text("causes", ""),
                                  .num_threads = *threads,
                                  .stop = [] { return stop_signal != 0; }});
  constexpr int kStoppedBySignal = 3;
  const int code = exit_with(status);
  return absl::IsCancelled(status) ? kStoppedBySignal : code;
}

}  // namespace titan::tools
