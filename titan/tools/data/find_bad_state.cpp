#include "titan/tools/data/find_bad_state.h"

#include <filesystem>

#include <nlohmann/json.hpp>

#include "titan/io/atomic_file.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/json_as.h"

namespace titan::tools {

using Json = nlohmann::json;

StatusOr<FindBadState> load_state(const std::string& path, const std::string& fingerprint) {
  FindBadState state{.fingerprint = fingerprint};
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return state;
  TITAN_ASSIGN_OR_RETURN(const std::string text, read_file(path));
  try {
    const Json json = Json::parse(text);
    if (json.at("input").get<std::string>() != fingerprint)
      return failed_precondition("[find-bad] ", path,
                                 " is of a search through other data; remove it to start anew");
    state.next = json_as<int64_t>(json.at("next_row"));
    for (const Json& row : json.at("bad"))
      state.bad.push_back({json_as<int64_t>(row.at(0)), row.at(1).get<std::string>(),
                           row.at(2).get<std::string>()});
  } catch (const Json::exception& error) {
    return data_loss("[find-bad] ", path, " is broken; remove it to start anew (", error.what(),
                     ")");
  }
  return state;
}

Status save_state(const std::string& path, const FindBadState& state) {
  Json bad = Json::array();
  for (const BadRow& row : state.bad) bad.push_back({row.index, row.name, row.cause});
  const Json json = {{"input", state.fingerprint}, {"next_row", state.next}, {"bad", bad}};
  // Names come out of tars: any bytes.
  return write_file_atomically(
      path, json.dump(1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace));
}

}  // namespace titan::tools
