#include "titan/tools/logged_records.h"

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "titan/base/log.h"

namespace titan {
namespace {

using Json = nlohmann::json;

/// Train records by step; the last of a step counts, lines that cannot be read are left out (the
/// run may be writing).
std::map<int64_t, Json> train_records(const std::string& path) {
  std::map<int64_t, Json> records;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (json.is_object() && json.value("kind", "") == "train" && json.contains("step") &&
        json["step"].is_number_integer())
      records[json["step"].get<int64_t>()] = json;
  }
  return records;
}

}  // namespace

Status report_logged_records(const std::string& of_run, const std::string& of_replay, int64_t from,
                             int64_t to) {
  const std::map<int64_t, Json> run = train_records(of_run);
  const std::map<int64_t, Json> again = train_records(of_replay);
  int64_t equal = 0;
  int64_t previous = 0;  // record of the run before this one: where its window begins
  for (const auto& [step, record] : run) {
    const bool whole = previous >= from;
    previous = step;
    if (!whole || step > to || !again.contains(step)) continue;
    const Json& repeated = again.at(step);
    if (record.value("loss", Json()) == repeated.value("loss", Json()) &&
        record.value("grad_norm", Json()) == repeated.value("grad_norm", Json())) {
      ++equal;
      continue;
    }
    TITAN_LOG(WARNING) << "[replay] step " << step << ": the run logged loss "
                       << record.value("loss", Json()).dump() << " and gradient norm "
                       << record.value("grad_norm", Json()).dump() << ", the replay "
                       << repeated.value("loss", Json()).dump() << " and "
                       << repeated.value("grad_norm", Json()).dump()
                       << " (another machine, build, or number of ranks or threads)";
    return ok_status();
  }
  TITAN_LOG(INFO) << "[replay] "
                  << (equal > 0 ? str_cat("the ", equal,
                                          " records that the run logged of these "
                                          "steps are repeated in every digit")
                                : std::string("the run logged no record of these steps alone to "
                                              "compare with"));
  return ok_status();
}

}  // namespace titan
