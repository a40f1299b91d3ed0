#include "titan/train/put_off.h"

#include <fstream>
#include <nlohmann/json.hpp>

namespace titan {
namespace {

constexpr const char* kEvent = "put_off";

bool flag(const nlohmann::json& line, const char* name) {
  return line.contains(name) && line[name] == 1;
}

}  // namespace

std::string PutOff::text() const {
  std::string text;
  if (evaluation) text = "the evaluation";
  if (evaluation_pictures || pictures) text += text.empty() ? "the pictures" : ", the pictures";
  return text;
}

metrics::EventRecord put_off_event(const PutOff& left, int64_t step) {
  return {.step = step,
          .name = kEvent,
          .values = {{"evaluation", int64_t{left.evaluation}},
                     {"evaluation_pictures", int64_t{left.evaluation_pictures}},
                     {"pictures", int64_t{left.pictures}}}};
}

PutOff find_put_off(const std::string& path, int64_t step) {
  std::ifstream file(path, std::ios::binary);
  PutOff left;
  for (std::string line; std::getline(file, line);) {
    const auto parsed = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!parsed.is_object() || !parsed.contains("step") || parsed["step"] != step) continue;
    if (parsed.value("kind", "") == "eval") left.evaluation = false;
    if (!parsed.contains("event")) continue;
    if (parsed["event"] == "sample") left.evaluation_pictures = left.pictures = false;
    if (parsed["event"] == kEvent)
      left = {.evaluation = flag(parsed, "evaluation"),
              .evaluation_pictures = flag(parsed, "evaluation_pictures"),
              .pictures = flag(parsed, "pictures")};
  }
  return left;
}

}  // namespace titan
