#include "titan/parallel/beat.h"

#include <nlohmann/json.hpp>

namespace titan::parallel {
namespace {

/// Calls `visit` with the name and the member, for both directions.
template <class B, class Visit>
void visit_members(B& beat, const Visit& visit) {
  visit("count", beat.count);
  visit("progress", beat.progress);
  visit("step", beat.step);
  visit("of_step", beat.of_step);
  visit("phase", beat.phase);
  visit("patient", beat.patient);
  visit("judged", beat.judged);
  visit("left", beat.left);
  visit("doing", beat.doing);
  visit("open", beat.open);
  visit("collective", beat.collective);
  visit("unit", beat.unit);
  visit("last_work", beat.last_work);
  visit("note", beat.note);
  visit("cursor", beat.cursor);
  visit("first_slot", beat.first_slot);
  visit("num_slots", beat.num_slots);
}

std::string activity_text(const Beat& beat) {
  if (beat.waits_for_data())
    return str_cat("waits for data", beat.note.empty() ? "" : ": " + beat.note);
  const std::string after = beat.last_work.empty() ? "" : " after " + beat.last_work;
  if (beat.waits_for_ranks()) return str_cat("waits for ", beat.collective, after);
  if (beat.open && !beat.unit.empty()) return str_cat("in ", beat.doing, " of ", beat.unit);
  if (beat.open) return str_cat("in ", beat.doing, after);
  if (beat.doing.empty()) return "nothing begun yet";
  if (!beat.unit.empty()) return str_cat("after ", beat.doing, " of ", beat.unit);
  return str_cat("after ", beat.collective.empty() ? beat.doing : beat.collective,
                 beat.last_work.empty() ? "" : ", last unit: " + beat.last_work);
}

}  // namespace

std::string Beat::where() const {
  std::string text = phase == "step" ? str_cat("step ", step) : str_cat(phase, " of step ", step);
  text += ", " + activity_text(*this);
  if (phase != "step" || waits_for_data()) return text;
  // Ranks that wait are many, and in the same place.
  if (waits_for_ranks() || first_slot < 0)
    return text + str_cat(", global batch from sample ", cursor);
  return text + str_cat(", global samples ", first_slot, " to ", first_slot + num_slots - 1);
}

std::string encode(const Beat& beat) {
  nlohmann::json json;
  visit_members(beat, [&](const char* name, const auto& value) { json[name] = value; });
  // A file's name may hold any bytes; JSON may not.
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

StatusOr<Beat> decode_beat(const std::string& text) {
  Beat beat;
  try {
    const nlohmann::json json = nlohmann::json::parse(text);
    visit_members(beat, [&](const char* name, auto& value) { json.at(name).get_to(value); });
  } catch (const nlohmann::json::exception& error) {
    return data_loss("[parallel] a heartbeat cannot be read: ", error.what());
  }
  return beat;
}

}  // namespace titan::parallel
