#include "titan/base/slurm_env.h"
#include "titan/base/environment.h"

#include <netdb.h>

#include <charconv>
#include <cstdint>
#include <optional>

namespace titan {
namespace {

constexpr std::size_t kMostHosts = 65536;
/// slurm.h: SLURM_INTERACTIVE_STEP and what lies above it (batch script, external, pending) are no
/// steps of srun's.
constexpr std::uint64_t kFirstSpecialStep = 0xfffffffa;
constexpr int kFirstPort = 16384;
constexpr std::uint64_t kNumPorts = 16384;

std::optional<std::string> first_of(const char* name, const char* other) {
  const auto value = environment(name);
  return value ? value : environment(other);
}

/// The whole of `text` as a number.
std::optional<std::uint64_t> number(const std::string& text) {
  std::uint64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || result.ec != std::errc() || result.ptr != text.data() + text.size())
    return std::nullopt;
  return value;
}

Status malformed(const std::string& list, const char* what) {
  return invalid_argument("[slurm] \"", list, "\" is no host list: ", what);
}

/// Splits at the commas outside of brackets.
StatusOr<std::vector<std::string>> split_names(const std::string& list) {
  std::vector<std::string> names(1);
  bool inside = false;
  for (const char c : list) {
    if (c == '[' && inside) return malformed(list, "a bracket inside of brackets");
    if (c == ']' && !inside) return malformed(list, "a bracket that was not opened");
    if (c == '[' || c == ']') inside = c == '[';
    if (c == ',' && !inside) {
      names.emplace_back();
    } else {
      names.back() += c;
    }
  }
  if (inside) return malformed(list, "a bracket that is not closed");
  for (const std::string& name : names) {
    if (name.empty()) return malformed(list, "an empty name");
  }
  return names;
}

/// "1-2" or "07": the numbers as they are written in names, with their leading zeros.
StatusOr<std::vector<std::string>> expand_range(const std::string& range, const std::string& list) {
  const std::size_t dash = range.find('-');
  const std::string low_text = range.substr(0, dash);
  const std::string high_text = dash == std::string::npos ? low_text : range.substr(dash + 1);
  const auto low = number(low_text);
  const auto high = number(high_text);
  if (!low || !high) return malformed(list, "a range must be of numbers");
  if (*high < *low) return malformed(list, "a range that goes down");
  if (*high - *low >= kMostHosts) return malformed(list, "too many hosts");
  std::vector<std::string> texts;
  for (std::uint64_t value = *low; value <= *high; ++value) {
    std::string text = std::to_string(value);
    if (text.size() < low_text.size()) text.insert(0, low_text.size() - text.size(), '0');
    texts.push_back(std::move(text));
  }
  return texts;
}

/// All that stands between one pair of brackets: "1-2,07-09".
StatusOr<std::vector<std::string>> expand_brackets(const std::string& ranges,
                                                   const std::string& list) {
  std::vector<std::string> texts;
  for (std::size_t from = 0; from <= ranges.size();) {
    const std::size_t comma = std::min(ranges.find(',', from), ranges.size());
    TITAN_ASSIGN_OR_RETURN(const std::vector<std::string> some,
                           expand_range(ranges.substr(from, comma - from), list));
    texts.insert(texts.end(), some.begin(), some.end());
    if (texts.size() > kMostHosts) return malformed(list, "too many hosts");
    from = comma + 1;
  }
  return texts;
}

/// One name with any number of brackets; the last ones count fastest.
StatusOr<std::vector<std::string>> expand_name(const std::string& name, const std::string& list) {
  std::vector<std::string> hosts = {""};
  for (std::size_t at = 0; at < name.size();) {
    const std::size_t open = std::min(name.find('[', at), name.size());
    std::vector<std::string> endings = {""};
    std::size_t next = open;
    if (open < name.size()) {
      const std::size_t close = name.find(']', open);
      TITAN_ASSIGN_OR_RETURN(endings,
                             expand_brackets(name.substr(open + 1, close - open - 1), list));
      next = close + 1;
    }
    if (hosts.size() * endings.size() > kMostHosts) return malformed(list, "too many hosts");
    std::vector<std::string> longer;
    for (const std::string& host : hosts) {
      for (const std::string& ending : endings)
        longer.push_back(host + name.substr(at, open - at) + ending);
    }
    hosts = std::move(longer);
    at = next;
  }
  return hosts;
}

StatusOr<std::string> first_host_of_step() {
  const auto list = first_of("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST");
  if (!list) {
    return invalid_argument(
        "[slurm] neither SLURM_STEP_NODELIST nor SLURM_JOB_NODELIST says where rank 0 is; set "
        "MASTER_ADDR and MASTER_PORT");
  }
  TITAN_ASSIGN_OR_RETURN(const std::vector<std::string> hosts, expand_host_list(*list));
  return hosts.front();
}

std::optional<std::uint64_t> num_nodes() {
  const auto text = first_of("SLURM_STEP_NUM_NODES", "SLURM_JOB_NUM_NODES");
  return text ? number(*text) : std::nullopt;
}

}  // namespace

StatusOr<std::vector<std::string>> expand_host_list(const std::string& list) {
  TITAN_ASSIGN_OR_RETURN(const std::vector<std::string> names, split_names(list));
  std::vector<std::string> hosts;
  for (const std::string& name : names) {
    TITAN_ASSIGN_OR_RETURN(const std::vector<std::string> some, expand_name(name, list));
    hosts.insert(hosts.end(), some.begin(), some.end());
    if (hosts.size() > kMostHosts) return malformed(list, "too many hosts");
  }
  return hosts;
}

StatusOr<std::vector<int>> expand_task_counts(const std::string& counts) {
  const auto wrong = [&] {
    return invalid_argument("[slurm] \"", counts, "\" is no list of tasks per node, as 8(x2),3");
  };
  std::vector<int> tasks;
  for (std::size_t from = 0; from <= counts.size();) {
    const std::size_t comma = std::min(counts.find(',', from), counts.size());
    const std::string item = counts.substr(from, comma - from);
    const std::size_t times = item.find("(x");
    std::optional<std::uint64_t> nodes = 1;
    if (times != std::string::npos) {
      if (item.back() != ')') return wrong();
      nodes = number(item.substr(times + 2, item.size() - times - 3));
    }
    const auto count = number(item.substr(0, times));
    if (!count || !nodes || *count > 65536 || *nodes < 1 || *nodes > kMostHosts) return wrong();
    tasks.insert(tasks.end(), *nodes, static_cast<int>(*count));
    from = comma + 1;
  }
  return tasks;
}

bool is_slurm_task() {
  const auto step = environment("SLURM_STEP_ID");
  if (!step || !environment("SLURM_PROCID")) return false;
  if (number(*step).value_or(0) >= kFirstSpecialStep) return false;
  // A terminal belongs to one task; a job of several ranks is no shell.
  const bool is_shell = environment("SLURM_PTY_PORT").has_value();
  return !is_shell || first_of("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS").value_or("1") != "1";
}

StatusOr<int> slurm_local_world_size(int world_size) {
  const auto node = number(environment("SLURM_NODEID").value_or("0"));
  for (const char* name : {"SLURM_STEP_TASKS_PER_NODE", "SLURM_NTASKS_PER_NODE"}) {
    const auto text = environment(name);
    if (!text) continue;
    TITAN_ASSIGN_OR_RETURN(const std::vector<int> tasks, expand_task_counts(*text));
    if (tasks.size() == 1) return tasks.front();
    if (!node || *node >= tasks.size()) {
      return invalid_argument("[slurm] ", name, "=\"", *text, "\" has no node ",
                              environment("SLURM_NODEID").value_or("0"), " (SLURM_NODEID)");
    }
    return tasks[*node];
  }
  if (num_nodes().value_or(1) == 1) return world_size;
  return invalid_argument(
      "[slurm] neither SLURM_STEP_TASKS_PER_NODE nor SLURM_NTASKS_PER_NODE says how many ranks "
      "this node has; start them with srun --ntasks-per-node=N");
}

StatusOr<MeetingPlace> slurm_meeting_place(
    const std::function<bool(const std::string& host)>& resolves) {
  MeetingPlace place;
  const auto job = number(first_of("SLURM_JOB_ID", "SLURM_JOBID").value_or(""));
  if (!job) {
    return invalid_argument(
        "[slurm] SLURM_JOB_ID is not set, from which the ranks' port comes; set MASTER_ADDR and "
        "MASTER_PORT");
  }
  const std::uint64_t step = number(environment("SLURM_STEP_ID").value_or("0")).value_or(0);
  // Steps of one job that run at once get other ports (4099 is prime), and so do neighbouring jobs.
  place.port = kFirstPort + static_cast<int>((*job + 4099 * step) % kNumPorts);
  if (num_nodes() == std::uint64_t{1}) {
    place.address = "127.0.0.1";
    return place;
  }
  TITAN_ASSIGN_OR_RETURN(place.address, first_host_of_step());
  if (resolves(place.address)) return place;
  const auto launcher = environment("SLURM_LAUNCH_NODE_IPADDR");
  if (!launcher) {
    return invalid_argument("[slurm] the first node, ", place.address,
                            ", has no address here; set MASTER_ADDR to the address of rank 0");
  }
  place.note = str_cat(
      place.address,
      " has no address here, that of srun's own host is taken; MASTER_ADDR chooses another");
  place.address = *launcher;
  return place;
}

bool has_address(const std::string& host) {
  addrinfo* found = nullptr;
  const bool known = getaddrinfo(host.c_str(), nullptr, nullptr, &found) == 0;
  if (known) freeaddrinfo(found);
  return known;
}

}  // namespace titan
