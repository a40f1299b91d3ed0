#include "titan/checkpoint/layout_roles.h"

#include <unistd.h>

#include <array>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "titan/base/hash.h"

namespace titan::checkpoint {
namespace {

/// "host", then a digest for each item that holds anything ("-" for one that holds nothing).
std::string card_of(const std::vector<CheckpointItem>& items, const std::string& host) {
  std::ostringstream card;
  card << host;
  for (const CheckpointItem& item : items) {
    std::ostringstream text;
    int64_t held = 0;
    text << item.prefix << '\n' << item.dtype();
    for (const parallel::Fragment& fragment : item.fragments) {
      held += fragment.length;
      text << '\n' << fragment.name << ' ' << fragment.global_offset << ' ' << fragment.length;
    }
    card << '\n';
    if (held == 0 && item.fragments.empty()) {
      card << '-';
    } else {
      card << std::hex << xxh3_64(text.str()) << std::dec;
    }
  }
  return card.str();
}

std::vector<std::string> lines_of(const std::string& card) {
  std::vector<std::string> lines;
  std::istringstream stream(card);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

}  // namespace

StatusOr<LayoutRoles> find_roles(const std::vector<CheckpointItem>& items, const RankGroup& ranks,
                                 const std::string& host) {
  const std::string mine = card_of(items, host);
  TITAN_ASSIGN_OR_RETURN(const std::vector<std::string> cards, ranks.gather(mine));
  LayoutRoles roles;
  roles.writes.assign(items.size(), true);
  const std::vector<std::string> own = lines_of(mine);
  std::set<std::string> taken;
  roles.verify.count = 0;
  for (std::size_t r = 0; r < cards.size(); ++r) {
    if (cards[r] == mine) {
      if (static_cast<int64_t>(r) == ranks.rank) roles.verify.index = roles.verify.count;
      ++roles.verify.count;
    }
    const std::vector<std::string> lines = lines_of(cards[r]);
    if (static_cast<int64_t>(r) == ranks.rank)
      for (std::size_t i = 0; i < items.size(); ++i)
        roles.writes[i] = own[i + 1] != "-" && !taken.contains(own[i + 1]);
    for (std::size_t i = 1; i < lines.size(); ++i) {
      if (lines[i] == "-") continue;
      if (taken.insert(lines[i]).second && r > 0) roles.first_writes_all = false;
    }
  }
  return roles;
}

std::string host_identity() {
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  std::string boot;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), boot);
  return str_cat(name.data(), " ", boot);
}

}  // namespace titan::checkpoint
