#include "titan/tools/doctor/finding.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

namespace titan::doctor {
namespace {

constexpr const char* kLevels[] = {"ok", "warn", "fail"};
constexpr const char* kMarks[] = {"ok  ", "warn", "FAIL"};
constexpr std::size_t kTopicWidth = 16;
constexpr std::size_t kLineWidth = 118;

bool same_line(const Finding& a, const Finding& b) {
  return a.level == b.level && a.topic == b.topic && a.text == b.text && a.advice == b.advice;
}

Finding without_ranks(Finding finding) {
  finding.ranks.clear();
  return finding;
}

Section& section_of(Sections& all, const std::string& title) {
  for (Section& one : all)
    if (one.title == title) return one;
  all.push_back({title});
  return all.back();
}

/// "0-3, 6"
std::string ranges(const std::vector<int>& ranks) {
  std::string text;
  for (std::size_t i = 0; i < ranks.size();) {
    std::size_t last = i;
    while (last + 1 < ranks.size() && ranks[last + 1] == ranks[last] + 1) ++last;
    text += str_cat(text.empty() ? "" : ", ", ranks[i]);
    if (last > i) text += str_cat("-", ranks[last]);
    i = last + 1;
  }
  return text;
}

void check_agreement(Section& section, const std::string& topic) {
  std::vector<const Finding*> seen;
  for (const Finding& one : section.findings)
    if (one.topic == topic) seen.push_back(&one);
  if (seen.size() < 2) return;
  const std::string text = str_cat("differs: rank ", seen[0]->ranks.front(), " has ", seen[0]->text,
                                   ", rank ", seen[1]->ranks.front(), " has ", seen[1]->text);
  section.fail(topic, text, "run the same build with the same settings on every host");
}

/// `text` behind `indent` spaces, broken at spaces.
std::string wrapped(const std::string& text, std::size_t indent) {
  std::string result, line;
  const auto flush = [&] {
    result += (result.empty() ? "" : "\n" + std::string(indent, ' ')) + line;
    line.clear();
  };
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find_first_of(" \n", begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    if (!line.empty() && indent + line.size() + 1 + word.size() > kLineWidth) flush();
    line += (line.empty() ? "" : " ") + word;
    if (end < text.size() && text[end] == '\n') flush();
    begin = end + 1;
  }
  flush();
  return result;
}

}  // namespace

void Section::ok(std::string topic, std::string text) {
  findings.push_back({Level::kOk, std::move(topic), std::move(text), ""});
}
void Section::warn(std::string topic, std::string text, std::string advice) {
  findings.push_back({Level::kWarn, std::move(topic), std::move(text), std::move(advice)});
}
void Section::fail(std::string topic, std::string text, std::string advice) {
  findings.push_back({Level::kFail, std::move(topic), std::move(text), std::move(advice)});
}

std::string sections_to_text(const Sections& sections) {
  // What a driver or a file system says need not be UTF-8.
  return json_of(sections).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

StatusOr<Sections> sections_of_text(const std::string& text) {
  try {
    Sections sections;
    for (const nlohmann::json& one : nlohmann::json::parse(text)) {
      const auto level = one.at("level").get<std::string>();
      const auto found = std::find(std::begin(kLevels), std::end(kLevels), level);
      if (found == std::end(kLevels)) return internal_error("[doctor] no level: ", level);
      section_of(sections, one.at("section"))
          .findings.push_back({static_cast<Level>(found - std::begin(kLevels)), one.at("topic"),
                               one.at("text"), one.at("advice"),
                               one.at("ranks").get<std::vector<int>>()});
    }
    return sections;
  } catch (const nlohmann::json::exception& error) {
    return internal_error("[doctor] a rank's findings cannot be read: ", error.what());
  }
}

Sections join_ranks(const std::vector<Sections>& by_rank,
                    const std::vector<std::string>& must_agree) {
  Sections joined;
  for (std::size_t rank = 0; rank < by_rank.size(); ++rank) {
    for (const Section& section : by_rank[rank]) {
      Section& target = section_of(joined, section.title);
      for (const Finding& finding : section.findings) {
        const auto same =
            std::find_if(target.findings.begin(), target.findings.end(),
                         [&](const Finding& other) { return same_line(other, finding); });
        Finding& line = same != target.findings.end()
                            ? *same
                            : target.findings.emplace_back(without_ranks(finding));
        const std::vector<int> own = {static_cast<int>(rank)};
        const std::vector<int>& who = finding.ranks.empty() ? own : finding.ranks;
        line.ranks.insert(line.ranks.end(), who.begin(), who.end());
      }
    }
  }
  for (Section& section : joined) {
    for (const std::string& topic : must_agree) check_agreement(section, topic);
    // Lines of one topic beside each other, in the order in which topics first came.
    std::vector<std::string> order;
    for (const Finding& one : section.findings)
      if (std::find(order.begin(), order.end(), one.topic) == order.end())
        order.push_back(one.topic);
    const auto place = [&](const Finding& one) {
      return std::find(order.begin(), order.end(), one.topic) - order.begin();
    };
    std::stable_sort(section.findings.begin(), section.findings.end(),
                     [&](const Finding& a, const Finding& b) { return place(a) < place(b); });
  }
  return joined;
}

int exit_code_of(const Sections& sections) {
  for (const Section& section : sections)
    for (const Finding& one : section.findings)
      if (one.level == Level::kFail) return 1;
  return 0;
}

std::string page_of(const std::string& title, const Sections& sections, int world_size) {
  std::string page = title + "\n";
  int count[3] = {0, 0, 0};
  for (const Section& section : sections) {
    if (section.findings.empty()) continue;
    page += "\n" + section.title + "\n";
    std::string last_topic;
    for (const Finding& one : section.findings) {
      ++count[static_cast<int>(one.level)];
      std::string topic = one.topic == last_topic ? "" : one.topic;
      last_topic = one.topic;
      topic.resize(std::max(kTopicWidth, topic.size() + 1), ' ');
      const bool some = !one.ranks.empty() && static_cast<int>(one.ranks.size()) < world_size;
      const std::string who =
          some ? str_cat(one.ranks.size() == 1 ? "rank " : "ranks ", ranges(one.ranks), ": ") : "";
      const std::string head = str_cat("  ", kMarks[static_cast<int>(one.level)], "  ", topic);
      page += head + wrapped(who + one.text, head.size()) + "\n";
      if (!one.advice.empty())
        page += std::string(head.size(), ' ') + "-> " + wrapped(one.advice, head.size() + 3) + "\n";
    }
  }
  page += str_cat("\n", count[0], " ok, ", count[1], count[1] == 1 ? " warning, " : " warnings, ",
                  count[2], " failed\n");
  return page;
}

nlohmann::json json_of(const Sections& sections) {
  nlohmann::json all = nlohmann::json::array();
  for (const Section& section : sections)
    for (const Finding& one : section.findings)
      all.push_back({{"section", section.title},
                     {"topic", one.topic},
                     {"level", kLevels[static_cast<int>(one.level)]},
                     {"text", one.text},
                     {"advice", one.advice},
                     {"ranks", one.ranks}});
  return all;
}

}  // namespace titan::doctor
