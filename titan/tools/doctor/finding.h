// finding.h: what `titan doctor` found, and the page made of it. No torch.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan::doctor {

enum class Level : std::uint8_t { kOk, kWarn, kFail };

/// One line of the page.
struct Finding {
  Level level = Level::kOk;
  std::string topic = {};       ///< "open files"
  std::string text = {};        ///< what was seen, with figures
  std::string advice = {};      ///< what to do about it; empty where nothing is
  std::vector<int> ranks = {};  ///< who saw it; empty = it concerns the job as a whole
};

/// Findings that belong together, under a heading: "host", "links".
struct Section {
  std::string title = {};
  std::vector<Finding> findings = {};

  void ok(std::string topic, std::string text);
  void warn(std::string topic, std::string text, std::string advice);
  void fail(std::string topic, std::string text, std::string advice);
};

using Sections = std::vector<Section>;

/// As text, to be sent to another rank, and back (kInternal where it is none).
std::string sections_to_text(const Sections& sections);
StatusOr<Sections> sections_of_text(const std::string& text);

/// The sections of all ranks, in order of rank, as one: equal lines are joined and name their
/// ranks (those that a finding names, else the one it came from). Topics of `must_agree` on which
/// ranks differ fail.
Sections join_ranks(const std::vector<Sections>& by_rank,
                    const std::vector<std::string>& must_agree);

/// 1 where a finding failed, else 0.
int exit_code_of(const Sections& sections);

/// The page: aligned lines `ok / warn / FAIL`, advice under what is not ok, a sum at the end.
std::string page_of(const std::string& title, const Sections& sections, int world_size);

/// [{"section", "topic", "level": "ok" | "warn" | "fail", "text", "advice", "ranks"}, ...]
nlohmann::json json_of(const Sections& sections);

}  // namespace titan::doctor
