#include "titan/checkpoint/rank_group.h"

#include <charconv>

namespace titan::checkpoint {

std::string status_text(const Status& status) {
  if (status.ok()) return "";
  return str_cat(static_cast<int>(status.code()), " ", message_of(status));
}

Status status_of_text(const std::string& text) {
  if (text.empty()) return ok_status();
  int code = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), code);
  if (error != std::errc() || code <= 0 || code > 16)
    return internal_error("[checkpoint] unreadable report: ", text);
  const auto skip = static_cast<std::size_t>(end - text.data()) + 1;
  return {static_cast<absl::StatusCode>(code), text.substr(std::min(skip, text.size()))};
}

StatusOr<std::vector<std::string>> RankGroup::gather(const std::string& text) const {
  if (!exchange) return std::vector<std::string>{text};
  return exchange(text);
}

Status RankGroup::agree(const Status& mine) const {
  TITAN_ASSIGN_OR_RETURN(const std::vector<std::string> texts, gather(status_text(mine)));
  for (std::size_t r = 0; r < texts.size(); ++r) {
    const Status status = status_of_text(texts[r]);
    if (status.ok()) continue;
    return texts.size() == 1 ? status : annotate(status, str_cat("[checkpoint] rank ", r));
  }
  return ok_status();
}

}  // namespace titan::checkpoint
