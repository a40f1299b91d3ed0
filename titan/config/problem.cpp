#include "titan/config/problem.h"

namespace titan::config {

std::string to_line(const Problem& problem) {
  std::string line;
  if (!problem.place.empty()) line += problem.place + ": ";
  if (!problem.key.empty()) line += problem.key + ": ";
  return line + problem.text;
}

Status to_status(const std::vector<Problem>& problems) {
  if (problems.empty()) return ok_status();
  if (problems.size() == 1) return invalid_argument("[config] ", to_line(problems.front()));
  std::string message = str_cat("[config] ", problems.size(), " problems:");
  for (const Problem& problem : problems) message += "\n  " + to_line(problem);
  return invalid_argument(message);
}

}  // namespace titan::config
