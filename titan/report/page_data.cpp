#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "titan/base/check.h"
#include "titan/report/downsample.h"
#include "titan/report/report_page.h"

namespace titan::report {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMaxEventsOfAKind = 300;
constexpr std::size_t kSmallestPicture = 8 << 10;

/// Six digits are more than a screen shows, and half the bytes.
Json short_number(double value) {
  if (!std::isfinite(value)) return nullptr;
  if (value == std::floor(value) && std::abs(value) < 1e15) return static_cast<std::int64_t>(value);
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return Json::parse(text);
}

Json numbers(const std::vector<double>& values) {
  Json list = Json::array();
  for (const double value : values) list.push_back(short_number(value));
  return list;
}

std::string base64(const std::vector<std::uint8_t>& bytes) {
  static constexpr char kLetters[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve(4 * ((bytes.size() + 2) / 3));
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t left = std::min<std::size_t>(3, bytes.size() - i);
    const std::uint32_t group = (static_cast<std::uint32_t>(bytes[i]) << 16) |
                                (left > 1 ? static_cast<std::uint32_t>(bytes[i + 1]) << 8 : 0) |
                                (left > 2 ? static_cast<std::uint32_t>(bytes[i + 2]) : 0);
    for (std::size_t k = 0; k < 4; ++k)
      text += k <= left ? kLetters[(group >> (18 - 6 * k)) & 63] : '=';
  }
  return text;
}

Json curve(const std::vector<double>& values, const std::vector<std::size_t>& borders) {
  const BucketValues buckets = summarize(values, borders);
  Json json = {{"mean", numbers(buckets.mean)}};
  if (borders.size() < values.size() + 1) {  // else each bucket is one record
    json["low"] = numbers(buckets.low);
    json["high"] = numbers(buckets.high);
  }
  if (!buckets.missing.empty()) json["missing"] = buckets.missing;
  return json;
}

Json curves(const TrainColumns& train, std::size_t points) {
  const std::vector<std::size_t> borders = bucket_borders(train.step.size(), points);
  std::vector<double> steps(train.step.begin(), train.step.end());
  Json json = {{"records", train.step.size()},
               {"points", borders.empty() ? 0 : borders.size() - 1},
               {"step", numbers(bucket_centres(steps, borders))},
               {"hours", numbers(bucket_centres(train.hours, borders))}};
  Json series = Json::object();
  for (const auto& [name, values] : train.values) {
    if (name == "samples") {
      json["samples"] = numbers(bucket_centres(values, borders));
    } else if (std::any_of(values.begin(), values.end(),
                           [](double v) { return std::isfinite(v); }) ||
               name == "loss") {
      series[name] = curve(values, borders);
    }
  }
  json["series"] = std::move(series);
  return json;
}

Json evaluations(const std::vector<EvalLine>& evals, std::size_t points) {
  std::set<std::string> names;
  for (const EvalLine& eval : evals)
    for (const auto& [name, value] : eval.values) names.insert(name);
  const std::vector<std::size_t> borders = bucket_borders(evals.size(), points);
  const auto column = [&](const auto& value_of) {
    std::vector<double> values;
    for (const EvalLine& eval : evals) values.push_back(value_of(eval));
    return values;
  };
  const std::vector<double> steps =
      column([](const EvalLine& eval) { return static_cast<double>(eval.step); });
  Json json = {{"records", evals.size()}, {"step", numbers(bucket_centres(steps, borders))}};
  Json series = Json::object();
  for (const std::string& name : names) {
    series[name] = curve(column([&](const EvalLine& eval) {
                           const auto found = eval.values.find(name);
                           return found == eval.values.end() ? std::nan("") : found->second;
                         }),
                         borders);
  }
  json["series"] = std::move(series);
  return json;
}

Json events(const std::vector<EventLine>& lines, std::vector<std::string>& notes) {
  Json json = Json::array();
  std::map<std::string, std::size_t> count;
  for (const EventLine& event : lines) {
    if (++count[event.name] > kMaxEventsOfAKind) continue;
    Json one = {{"step", event.step}, {"name", event.name}};
    if (event.seconds > 0) one["seconds"] = short_number(event.seconds);
    if (!event.text.empty()) one["text"] = event.text;
    json.push_back(std::move(one));
  }
  for (const auto& [name, seen] : count) {
    if (seen > kMaxEventsOfAKind)
      notes.push_back(str_cat("the first ", kMaxEventsOfAKind, " of ", seen, " events \"", name,
                              "\" are shown"));
  }
  return json;
}

/// Bytes for each of `count` pictures. In few sizes: in a page that is written again, one more
/// picture rarely means that all are encoded anew.
std::size_t picture_share(std::size_t total, std::size_t count) {
  std::size_t share = std::size_t{128} << 10;
  while (share > kSmallestPicture && share * std::max<std::size_t>(count, 1) > total)
    share = share * 4 / 5;
  return std::max(share, kSmallestPicture);
}

Json grids(const std::vector<GridFile>& files, std::size_t max_bytes, GridPacker& packer,
           std::vector<std::string>& notes) {
  Json json = Json::array();
  for (const GridFile& file : files) {
    const PackedGrid& grid = packer.pack(file, max_bytes);
    Json one = {{"step", grid.step}, {"width", grid.width}, {"height", grid.height}};
    if (!grid.webp.empty()) one["image"] = base64(grid.webp);
    if (!grid.note.empty()) {
      one["note"] = grid.note;
      notes.push_back(str_cat("sample grid of step ", grid.step, ": ", grid.note));
    }
    json.push_back(std::move(one));
  }
  return json;
}

Json pairs(const std::vector<std::pair<std::string, std::string>>& facts) {
  Json json = Json::array();
  for (const auto& [name, text] : facts) json.push_back({name, text});
  return json;
}

Json exposed_json(const ExposedCommunication& exposed) {
  return {{"share", short_number(exposed.share)},
          {"ranks", exposed.ranks},
          {"first_step", exposed.first_step},
          {"last_step", exposed.last_step}};
}

/// Names that tell the runs apart: the folder's, with as many parents as that takes.
std::vector<std::string> distinct_names(const std::vector<RunFiles>& runs) {
  std::vector<std::string> names;
  for (const RunFiles& run : runs) names.push_back(run.name);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (std::count(names.begin(), names.end(), runs[i].name) > 1 ||
        std::count_if(runs.begin(), runs.end(),
                      [&](const RunFiles& run) { return run.name == runs[i].name; }) > 1)
      names[i] = runs[i].path.string();
  }
  return names;
}

Json settings_json(const std::vector<RunFiles>& runs) {
  std::vector<const Settings*> settings;
  for (const RunFiles& run : runs) settings.push_back(run.settings ? &*run.settings : nullptr);
  Json rows = Json::array();
  if (runs.size() == 1 && settings[0] != nullptr) {
    for (const auto& [key, value] : *settings[0]) rows.push_back({key, value});
  } else {
    for (const SettingRow& row : settings_difference(settings)) {
      Json cells = {row.key};
      for (const std::string& value : row.values) cells.push_back(value);
      rows.push_back(std::move(cells));
    }
  }
  return rows;
}

}  // namespace

std::string page_data(const std::vector<RunFiles>& runs, const PageOptions& options,
                      GridPacker& packer) {
  const std::size_t points =
      std::clamp<std::size_t>(options.points / std::max<std::size_t>(runs.size(), 1), 150, 500);
  std::size_t num_grids = 0;
  for (const RunFiles& run : runs) num_grids += run.grids.size();
  const std::size_t most_grids = options.picture_bytes / kSmallestPicture;
  const std::size_t most_of_a_run = std::max<std::size_t>(most_grids / runs.size(), 2);
  if (num_grids > most_grids) {
    num_grids = 0;
    for (const RunFiles& run : runs) num_grids += std::min(run.grids.size(), most_of_a_run);
  }
  const std::size_t picture_bytes = picture_share(options.picture_bytes, num_grids);
  const std::vector<std::string> names = distinct_names(runs);
  Json list = Json::array();
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const RunFiles& run = runs[i];
    std::vector<std::string> notes = run.notes;
    std::vector<GridFile> files = run.grids;
    if (files.size() > most_of_a_run) {
      files = thin_out(files, most_of_a_run);
      notes.push_back(str_cat(files.size(), " of ", run.grids.size(),
                              " sample grids are shown, evenly over the run"));
    }
    Json shares = Json::array();
    for (const auto& [name, seconds] : time_shares(run.records, run.exposed))
      shares.push_back({name, short_number(seconds)});
    Json json = {{"name", names[i]},
                 {"path", run.path.string()},
                 {"state", describe(run.state)},
                 {"num_steps", run.num_steps},
                 {"left_s", run.left_s ? short_number(*run.left_s) : Json(nullptr)},
                 {"facts", pairs(run.facts)},
                 {"train", curves(run.records.train, points)},
                 {"evals", evaluations(run.records.evals, points)},
                 {"events", events(run.records.events, notes)},
                 {"shares", std::move(shares)},
                 {"exposed", run.exposed ? exposed_json(*run.exposed) : Json(nullptr)},
                 {"grids", grids(files, picture_bytes, packer, notes)}};
    json["notes"] = notes;
    list.push_back(std::move(json));
  }
  const Json page = {{"written", options.written},
                     {"reload_s", options.reload_s},
                     {"runs", std::move(list)},
                     {"settings", settings_json(runs)}};
  return page.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
}

}  // namespace titan::report
