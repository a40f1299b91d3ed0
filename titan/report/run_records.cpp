#include "titan/report/run_records.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "titan/base/check.h"
#include "titan/report/run_clock.h"

namespace titan::report {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

double number_or_nan(const Json& line, const std::string& name) {
  const auto found = line.find(name);
  return found != line.end() && found->is_number() ? found->get<double>() : kUnknown;
}

std::optional<double> time_of(const Json& line) {
  const double time = number_or_nan(line, "time");
  return std::isfinite(time) ? std::optional(time) : std::nullopt;
}

bool is_record(const Json& line) {
  if (!line.is_object() || !line.contains("kind") || !line["kind"].is_string()) return false;
  return line.contains("step") && line["step"].is_number_integer() &&
         line["step"].get<std::int64_t>() >= 0;
}

std::string plain_text(const Json& value) {
  return value.is_string() ? value.get<std::string>()
                           : value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

class Reader {
 public:
  void read(std::string_view text) {
    std::size_t begin = 0;
    while (begin < text.size()) {
      const std::size_t end = text.find('\n', begin);
      if (end == std::string_view::npos) {
        records_.notes.push_back(
            "the last line of metrics.jsonl is not complete: it is being written, or was cut off");
        break;
      }
      if (end > begin) read_line(text.substr(begin, end - begin));
      begin = end + 1;
    }
  }

  RunRecords finish() {
    if (bad_lines_ > 0)
      records_.notes.push_back(str_cat(
          "metrics.jsonl: ", bad_lines_,
          bad_lines_ == 1 ? " line is no record" : " lines are no records", " and left out"));
    if (went_back_)
      records_.notes.push_back("steps of metrics.jsonl go back; the later lines are shown");
    if (clock_.jumped())
      records_.notes.push_back(
          "the machine's clock was set during the run: hours are those of the steps there");
    if (clock_.estimated() && !records_.train.step.empty())
      records_.notes.push_back(
          "lines without a time (an older version): hours are the sum of the steps' own times");
    return std::move(records_);
  }

 private:
  void read_line(std::string_view text) {
    const Json line = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!is_record(line)) {
      ++bad_lines_;
      return;
    }
    const std::string kind = line["kind"];
    if (kind == "train") {
      add_train(line);
    } else if (kind == "eval") {
      add_eval(line);
    } else if (kind == "event") {
      add_event(line);
    } else {
      ++bad_lines_;
    }
  }

  void add_train(const Json& line) {
    TrainColumns& train = records_.train;
    const auto step = line["step"].get<std::int64_t>();
    drop_from(step);
    const std::int64_t before =
        std::max(train.step.empty() ? 0 : train.step.back(), resumed_at_.value_or(0));
    resumed_at_.reset();
    const std::int64_t steps = std::max<std::int64_t>(step - before, 1);
    const double training_s = number_or_nan(line, "step_s") * static_cast<double>(steps);
    train.step.push_back(step);
    train.steps.push_back(steps);
    train.hours.push_back(clock_.advance(time_of(line), training_s));
    for (const auto& [name, value] : line.items()) {
      if (name == "kind" || name == "step" || name == "time") continue;
      if (!value.is_number() && !value.is_null()) continue;
      std::vector<double>& column = train.values[name];
      column.resize(train.step.size() - 1, kUnknown);  // a column may begin late
      column.push_back(number_or_nan(line, name));
    }
    for (auto& [name, column] : train.values) column.resize(train.step.size(), kUnknown);
  }

  /// Lines of `step` and later are of an attempt that another one replaced.
  void drop_from(std::int64_t step) {
    TrainColumns& train = records_.train;
    const auto kept = static_cast<std::size_t>(
        std::lower_bound(train.step.begin(), train.step.end(), step) - train.step.begin());
    if (kept == train.step.size()) return;
    went_back_ = true;
    train.step.resize(kept);
    train.steps.resize(kept);
    train.hours.resize(kept);
    for (auto& [name, column] : train.values) column.resize(kept);
    const auto later = [step](const auto& record) { return record.step >= step; };
    std::erase_if(records_.evals, later);
  }

  void add_eval(const Json& line) {
    EvalLine eval{.step = line["step"].get<std::int64_t>(), .values = {}};
    for (const auto& [name, value] : line.items()) {
      if (name == "kind" || name == "step" || name == "time") continue;
      if (value.is_number() || value.is_null()) eval.values[name] = number_or_nan(line, name);
    }
    clock_.pause(number_or_nan(line, "seconds"));
    records_.evals.push_back(std::move(eval));
  }

  void add_event(const Json& line) {
    EventLine event{.step = line["step"].get<std::int64_t>(), .name = {}, .seconds = 0, .text = {}};
    if (line.contains("event") && line["event"].is_string()) event.name = line["event"];
    for (const auto& [name, value] : line.items()) {
      if (name == "kind" || name == "step" || name == "time" || name == "event") continue;
      if (name == "seconds" && value.is_number()) {
        event.seconds = std::max(0.0, value.get<double>());
      } else {
        event.text += str_cat(event.text.empty() ? "" : ", ", name, ": ", plain_text(value));
      }
    }
    if (event.name == "resume") {
      resumed_at_ = event.step;
      clock_.restart(time_of(line));
    } else {
      clock_.pause(event.seconds);
    }
    records_.events.push_back(std::move(event));
  }

  RunRecords records_;
  RunClock clock_;
  std::optional<std::int64_t> resumed_at_;
  std::int64_t bad_lines_ = 0;
  bool went_back_ = false;
};

}  // namespace

RunRecords parse_records(const std::string& text) {
  Reader reader;
  reader.read(text);
  return reader.finish();
}

}  // namespace titan::report
