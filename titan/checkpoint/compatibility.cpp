#include "titan/checkpoint/compatibility.h"

#include <algorithm>

namespace titan::checkpoint {
namespace {

std::string shown(const std::map<std::string, std::string>& values, const std::string& name) {
  constexpr std::size_t kLongest = 100;
  const auto found = values.find(name);
  if (found == values.end()) return "unknown";
  return found->second.size() <= kLongest ? found->second
                                          : found->second.substr(0, kLongest) + "...";
}

}  // namespace

Status check_compatible(const CheckpointMeta& saved,
                        const std::map<std::string, std::string>& current,
                        const std::vector<std::string>& allow_change) {
  std::map<std::string, std::string> names = saved.fingerprints;
  names.insert(current.begin(), current.end());
  std::string known;
  for (const auto& [name, value] : names) known += (known.empty() ? "" : ", ") + name;
  for (const std::string& name : allow_change) {
    if (!names.contains(name))
      return invalid_argument("[checkpoint] unknown name in checkpoint.allow_change (", name,
                              "; known: ", known, ")");
  }
  std::string changes;
  std::string flag;
  for (const auto& [name, value] : names) {
    const auto before = saved.fingerprints.find(name);
    const auto now = current.find(name);
    const bool same =
        before != saved.fingerprints.end() && now != current.end() && before->second == now->second;
    if (same || std::find(allow_change.begin(), allow_change.end(), name) != allow_change.end())
      continue;
    changes += str_cat(changes.empty() ? "" : "; ", name, " was ", shown(saved.fingerprints, name),
                       ", is ", shown(current, name));
    flag += (flag.empty() ? "" : ",") + name;
  }
  if (changes.empty()) return ok_status();
  // What was allowed already must stay in the command.
  for (const std::string& name : allow_change) flag += "," + name;
  return failed_precondition("[checkpoint] this run differs from the one that saved step ",
                             saved.step, ": ", changes,
                             ". To go on all the same: --checkpoint.allow_change=", flag,
                             "; to start anew: another --job.dump_folder");
}

}  // namespace titan::checkpoint
