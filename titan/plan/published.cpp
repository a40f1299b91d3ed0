#include "titan/plan/published.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "titan/base/check.h"
#include "titan/plan/hardware.h"

namespace titan::plan {
namespace {

constexpr double kFlopsPerSample = 20.420235362304e12;  // Flux.1-schnell at 256 + 256 tokens
// MXFP8 over bf16 in whole training runs: 1.20 to 1.28 where published (dense language models,
// B200).
constexpr double kEightBitGain = 1.22;
// Tensor parallelism sums the hidden state over its group: 512 tokens x 3072 in bf16; after
// attention and after the feed-forward layer of each of 19 double blocks, once in each of 38 single
// ones, and as often in backward.
constexpr double kTensorReductions = 2.0 * (19 * 2 + 38);
constexpr double kHiddenBytes = 512.0 * 3072 * 2;
constexpr double kLinkShare = 0.8;

/// Rate of sustained matrix products against a 1,000 W part of the same design: clocks under a
/// power limit go with its root, since power grows at least with the square of the clock. The
/// Blackwell parts are one design with different limits; others are taken by their data sheet.
double sustained_bf16(const Hardware& hardware) {
  const bool blackwell = hardware.name.find("b200") != std::string::npos ||
                         hardware.name.find("b300") != std::string::npos;
  constexpr double kReferenceFlops = 2250e12, kReferenceWatts = 1000;
  return blackwell ? kReferenceFlops * std::sqrt(hardware.watts / kReferenceWatts)
                   : hardware.bf16_flops;
}

/// Seconds of one sample on the devices that share it.
double sample_seconds(double efficiency, const PublishedRow& row, const Hardware& hardware) {
  const double gain = row.precision == "bf16" ? 1 / kEightBitGain : 1.0;
  const double compute = kFlopsPerSample / static_cast<double>(row.tensor) /
                         (efficiency * gain * sustained_bf16(hardware));
  if (row.tensor == 1) return compute;
  const double ring = 2.0 * static_cast<double>(row.tensor - 1) / static_cast<double>(row.tensor);
  return compute + kTensorReductions * kHiddenBytes * ring / (kLinkShare * hardware.link_bandwidth);
}

bool is_later(const PublishedRow& row) { return row.round != "v5.1"; }
/// AMD's submissions run a port of NVIDIA's v5.1 code.
bool is_nvidia(const Hardware& hardware) { return hardware.name.rfind("mi", 0) != 0; }

const PublishedRow* find_calibrating(const std::vector<PublishedRow>& rows, bool later,
                                     bool tensor) {
  const PublishedRow* found = nullptr;
  for (const PublishedRow& row : rows) {
    if (!row.calibrates || is_later(row) != later || (row.tensor > 1) != tensor) continue;
    if (found != nullptr) return nullptr;
    found = &row;
  }
  return found;
}

}  // namespace

StatusOr<std::vector<PublishedRow>> read_published(const std::string& path) {
  std::ifstream file(path);
  if (!file) return not_found("[plan] cannot read ", path);
  std::vector<PublishedRow> rows;
  std::string line;
  int number = 0;
  bool header = true;
  while (std::getline(file, line)) {
    ++number;
    if (line.empty() || line[0] == '#') continue;
    if (std::exchange(header, false)) continue;
    std::istringstream fields(line);
    PublishedRow row;
    std::string numbers[5], calibrates;
    std::getline(fields, row.round, '\t');
    std::getline(fields, row.submitter, '\t');
    std::getline(fields, numbers[0], '\t');
    std::getline(fields, row.hardware, '\t');
    for (int i = 1; i < 4; ++i) std::getline(fields, numbers[i], '\t');
    std::getline(fields, row.precision, '\t');
    std::getline(fields, numbers[4], '\t');
    std::getline(fields, calibrates, '\t');
    try {
      row.devices = std::stoll(numbers[0]);
      row.global_batch = std::stoll(numbers[1]);
      row.micro_batch = std::stoll(numbers[2]);
      row.tensor = std::stoll(numbers[3]);
      row.step_s = std::stod(numbers[4]);
    } catch (const std::exception&) {
      return invalid_argument("[plan] ", path, ":", number, ": a number is expected (", line, ")");
    }
    row.calibrates = calibrates == "yes";
    TITAN_RETURN_IF_ERROR(find_hardware(row.hardware).status());
    if (row.tensor < 1 || row.devices * row.micro_batch != row.global_batch * row.tensor) {
      return invalid_argument("[plan] ", path, ":", number,
                              ": devices x micro-batch must be global batch x tensor degree (",
                              line, ")");
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

StatusOr<PublishedModel> calibrate(const std::vector<PublishedRow>& rows) {
  const PublishedRow* const base = find_calibrating(rows, false, false);
  const PublishedRow* const tensor = find_calibrating(rows, false, true);
  const PublishedRow* const later = find_calibrating(rows, true, false);
  if (base == nullptr || tensor == nullptr || later == nullptr) {
    return invalid_argument(
        "[plan] one row each calibrates: v5.1 in 8 bits, v5.1 with tensor parallelism, v6.0");
  }
  // Two equations for efficiency and fixed time; the second depends weakly on the first.
  PublishedModel model{.efficiency = 0.5, .fixed_s = 0, .later_rounds = 1};
  const auto samples = [](const PublishedRow& row) { return static_cast<double>(row.micro_batch); };
  for (int i = 0; i < 100; ++i) {
    TITAN_ASSIGN_OR_RETURN(const Hardware base_hardware, find_hardware(base->hardware));
    TITAN_ASSIGN_OR_RETURN(const Hardware tensor_hardware, find_hardware(tensor->hardware));
    model.fixed_s = tensor->step_s -
                    samples(*tensor) * sample_seconds(model.efficiency, *tensor, tensor_hardware);
    model.efficiency =
        samples(*base) * sample_seconds(1.0, *base, base_hardware) / (base->step_s - model.fixed_s);
  }
  model.later_rounds = later->step_s / predict(model, *later);
  return model;
}

double predict(const PublishedModel& model, const PublishedRow& row) {
  const StatusOr<Hardware> hardware = find_hardware(row.hardware);
  TITAN_CHECK(hardware.ok(), message_of(hardware.status()));
  const double step =
      static_cast<double>(row.micro_batch) * sample_seconds(model.efficiency, row, *hardware) +
      model.fixed_s;
  return is_later(row) && is_nvidia(*hardware) ? step * model.later_rounds : step;
}

std::string published_report(const std::vector<PublishedRow>& rows, const PublishedModel& model) {
  char line[256];
  std::string text =
      "| round | submission | devices | hardware | micro-batch / TP | precision | "
      "published s | predicted s | error |\n|---|---|---|---|---|---|---|---|---|\n";
  double sum = 0, worst = 0;
  int others = 0, within = 0;
  for (const PublishedRow& row : rows) {
    const double predicted = predict(model, row);
    const double error = predicted / row.step_s - 1;
    if (!row.calibrates) {
      ++others;
      sum += std::abs(error);
      worst = std::max(worst, std::abs(error));
      if (std::abs(error) <= 0.10) ++within;
    }
    std::snprintf(line, sizeof line,
                  "| %s | %s | %lld | %s | %lld/%lld | %s | %.4f | %.4f | %+.1f %%%s |\n",
                  row.round.c_str(), row.submitter.c_str(), static_cast<long long>(row.devices),
                  row.hardware.c_str(), static_cast<long long>(row.micro_batch),
                  static_cast<long long>(row.tensor), row.precision.c_str(), row.step_s, predicted,
                  100 * error, row.calibrates ? " (calibrates)" : "");
    text += line;
  }
  std::snprintf(line, sizeof line,
                "\nFitted: %.1f %% of the bf16 peak at 1,000 W, %.1f ms a step beside it, v6.0 at "
                "%.3f of v5.1's time.\nOf the %d rows not fitted %d are within 10 %%; mean error "
                "%.1f %%, largest %.1f %%.\n",
                100 * model.efficiency, 1000 * model.fixed_s, model.later_rounds, others, within,
                100 * sum / std::max(others, 1), 100 * worst);
  return text + line;
}

}  // namespace titan::plan
