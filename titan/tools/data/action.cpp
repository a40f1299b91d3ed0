#include "titan/tools/data/action.h"

#include <algorithm>
#include <cstdio>
#include <thread>
#include <utility>

#include "titan/base/human.h"
#include "titan/base/log.h"

namespace titan::tools {

StatusOr<Arguments> parse_action(const std::string& action, const std::vector<std::string>& args,
                                 std::vector<std::string> options, std::size_t num_words) {
  options.emplace_back("help");
  StatusOr<Arguments> parsed = Arguments::parse(args, options);
  if (!parsed.ok()) return annotate(parsed.status(), action);
  if (!parsed->has("help") && parsed->words().size() != num_words)
    return invalid_argument("[", action, "] takes ", num_words, " words, not ",
                            parsed->words().size(), " (titan convert-data ", action, " --help)");
  return parsed;
}

int64_t num_workers(int64_t wanted) {
  return wanted > 0 ? wanted : std::max(1U, std::thread::hardware_concurrency());
}

void ActionProgress::tell(int64_t done, double share) {
  const auto now = Clock::now();
  if (now - last_ < std::chrono::seconds(5)) return;
  last_ = now;
  const double elapsed = seconds();
  const double new_share = share - first_share_;
  const double left = new_share > 0 ? elapsed * (1 - share) / new_share : -1;
  char text[200];
  std::snprintf(text, sizeof text, "[%s] %lld %s (%.1f %%), %.0f %s/s, %s left", action_.c_str(),
                static_cast<long long>(done), unit_.c_str(), 100.0 * std::min(share, 1.0),
                static_cast<double>(done - first_) / elapsed, unit_.c_str(),
                human_duration(left).c_str());
  TITAN_LOG(INFO) << text;
}

double ActionProgress::seconds() const {
  return std::chrono::duration<double>(Clock::now() - start_).count();
}

}  // namespace titan::tools
