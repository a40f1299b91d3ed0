#include "titan/metrics/step_statistics.h"

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>

#include "titan/io/atomic_file.h"
#include "titan/io/json_as.h"

namespace titan::metrics {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kMaxFileBytes = int64_t{1} << 30;

/// Calls visit(name, field) for what a file has of a step, in its order.
template <class Step, class Visit>
void visit_step(Step& s, Visit&& visit) {
  visit("step", s.step);
  visit("from_step", s.from_step);
  visit("rank", s.rank);
  visit("world_size", s.world_size);
  visit("sample", s.sample);
  visit("revision", s.revision);
  visit("libtorch", s.libtorch);
  visit("device", s.device);
  visit("run", s.run);
  visit("samples", s.samples);
}

template <class Tensor, class Visit>
void visit_tensor(Tensor& t, Visit&& visit) {
  visit("phase", t.phase);
  visit("micro_batch", t.micro_batch);
  visit("unit", t.unit);
  visit("tensor", t.tensor);
  visit("dtype", t.dtype);
  visit("shape", t.shape);
  visit("hash", t.hash);
  visit("mean", t.mean);
  visit("std", t.std);
  visit("min", t.min);
  visit("max", t.max);
  visit("nonfinite", t.nonfinite);
}

/// Fields of a JSON object, to write and to read.
struct Writer {
  Json& json;
  template <class Field>
  void operator()(const char* name, const Field& field) const {
    json[name] = field;
  }
  void operator()(const char* name, const std::optional<int64_t>& field) const {
    json[name] = field ? Json(*field) : Json(nullptr);
  }
};
struct Reader {
  const Json& json;
  template <class Field>
  void operator()(const char* name, Field& field) const {
    json_to(json.at(name), field);
  }
  void operator()(const char* name, std::optional<int64_t>& field) const {
    if (!json.at(name).is_null()) field = json_as<int64_t>(json.at(name));
  }
};

std::string figures(const TensorStatistics& t) {
  char text[192];
  std::snprintf(text, sizeof text, "mean %.9g  std %.9g  min %.9g  max %.9g", t.mean, t.std, t.min,
                t.max);
  std::string line = text;
  if (t.nonfinite > 0) line += "  not finite: " + std::to_string(t.nonfinite);
  return line;
}

/// Of mean or std, in standard deviations: how far a unit has drifted. Where nothing is spread (a
/// single number) the share of its value.
double drift(const TensorStatistics& a, const TensorStatistics& b) {
  const double spread = std::max(a.std, b.std);
  const double scale = spread > 0 ? spread : std::max(std::abs(a.mean), std::abs(b.mean));
  if (scale <= 0) return 0;
  return std::max(std::abs(a.mean - b.mean), std::abs(a.std - b.std)) / scale;
}

}  // namespace

std::string TensorStatistics::place() const {
  std::string text = phase + " of " + unit + ": " + tensor;
  if (micro_batch >= 0) text += " (micro-batch " + std::to_string(micro_batch) + ")";
  return text;
}

std::string statistics_file_name(int rank) {
  char name[32];
  std::snprintf(name, sizeof name, "rank-%05d.jsonl", rank);
  return name;
}

Status write_statistics(const std::string& path, const StepStatistics& statistics) {
  Json head = {{"kind", "step"}};
  visit_step(statistics, Writer{head});
  std::string text = head.dump() + "\n";
  for (const TensorStatistics& tensor : statistics.tensors) {
    Json json = {{"kind", "tensor"}};
    visit_tensor(tensor, Writer{json});
    text += json.dump() + "\n";
  }
  return write_file_atomically(path, text);
}

StatusOr<StepStatistics> read_statistics(const std::string& path) {
  TITAN_ASSIGN_OR_RETURN(const std::string text, read_file(path, kMaxFileBytes));
  StepStatistics statistics;
  std::istringstream lines(text);
  std::string line;
  int64_t number = 0;
  try {
    while (std::getline(lines, line)) {
      ++number;
      const Json json = Json::parse(line);
      const std::string kind = json.at("kind").get<std::string>();
      if ((number == 1) != (kind == "step"))
        return data_loss("[replay] ", path, " is no file of a replay (line ", number, ")");
      if (number == 1) {
        visit_step(statistics, Reader{json});
      } else {
        visit_tensor(statistics.tensors.emplace_back(), Reader{json});
      }
    }
  } catch (const nlohmann::json::exception& error) {
    return data_loss("[replay] ", path, " line ", number, " cannot be read: ", error.what());
  }
  if (number == 0) return data_loss("[replay] ", path, " is empty");
  return statistics;
}

Status check_same_step(const StepStatistics& a, const StepStatistics& b) {
  const auto differs = [](const char* what, const auto& left, const auto& right) {
    return invalid_argument("[replay] the two are not comparable: ", what, " ", left, " and ",
                            right);
  };
  if (a.step != b.step) return differs("step", a.step, b.step);
  if (a.rank != b.rank) return differs("rank", a.rank, b.rank);
  if (a.world_size != b.world_size) return differs("ranks", a.world_size, b.world_size);
  if (a.sample != b.sample)
    return differs("sample", a.sample ? std::to_string(*a.sample) : "(all)",
                   b.sample ? std::to_string(*b.sample) : "(all)");
  return ok_status();
}

StatusOr<StatisticsDifference> compare_statistics(const StepStatistics& a,
                                                  const StepStatistics& b) {
  TITAN_RETURN_IF_ERROR(check_same_step(a, b));
  StatisticsDifference found;
  for (std::size_t i = 0; i < std::max(a.tensors.size(), b.tensors.size()); ++i) {
    if (i >= a.tensors.size() || i >= b.tensors.size() ||
        a.tensors[i].place() != b.tensors[i].place()) {
      return invalid_argument("[replay] the two steps are not of one model: one has ",
                              i < a.tensors.size() ? a.tensors[i].place() : std::string("nothing"),
                              " where the other has ",
                              i < b.tensors.size() ? b.tensors[i].place() : std::string("nothing"));
    }
    ++found.compared;
    const bool equal = a.tensors[i].hash == b.tensors[i].hash &&
                       a.tensors[i].shape == b.tensors[i].shape &&
                       a.tensors[i].dtype == b.tensors[i].dtype;
    if (equal) continue;
    ++found.unequal;
    if (!found.first) found.first = i;
  }
  return found;
}

std::string difference_text(const StepStatistics& a, const StepStatistics& b,
                            const StatisticsDifference& difference, int max_lines) {
  std::ostringstream out;
  if (!difference.first) {
    out << "all " << difference.compared << " tensors of step " << a.step
        << " are equal to the bit\n";
    return out.str();
  }
  const std::size_t first = *difference.first;
  out << difference.unequal << " of " << difference.compared << " tensors of step " << a.step
      << " differ; the first of them (the " << first << " before it are equal to the bit):\n"
      << a.tensors[first].place() << "\n  " << figures(a.tensors[first]) << "\n  "
      << figures(b.tensors[first]) << "\n";
  out << "then, unit by unit (largest drift of mean or std, in standard deviations; of a single "
         "number, as a share of it):\n";
  int lines = 0;
  for (std::size_t i = first; i < a.tensors.size();) {
    const TensorStatistics& head = a.tensors[i];
    double largest = 0;
    int64_t unequal = 0;
    for (; i < a.tensors.size() && a.tensors[i].phase == head.phase &&
           a.tensors[i].unit == head.unit && a.tensors[i].micro_batch == head.micro_batch;
         ++i) {
      if (a.tensors[i].hash == b.tensors[i].hash) continue;
      ++unequal;
      largest = std::max(largest, drift(a.tensors[i], b.tensors[i]));
    }
    if (unequal == 0) continue;
    if (lines++ == max_lines) {
      out << "  ...\n";
      break;
    }
    char text[48];
    std::snprintf(text, sizeof text, "%.2e", largest);
    out << "  " << head.phase << " of " << head.unit;
    if (head.micro_batch >= 0) out << " (micro-batch " << head.micro_batch << ")";
    out << ": " << unequal << " tensors, " << text << "\n";
  }
  return out.str();
}

}  // namespace titan::metrics
