#include "titan/base/human.h"

#include <array>
#include <cmath>
#include <cstdio>

namespace titan {
namespace {

template <class... Values>
std::string formatted(const char* format, Values... values) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), format, values...);
  return text.data();
}

/// Decimals that leave three significant digits.
int decimals_for(double magnitude) {
  if (magnitude >= 100) return 0;
  return magnitude >= 10 ? 1 : 2;
}

}  // namespace

std::string human_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "--";
  if (seconds < 9.95) return formatted("%.1fs", seconds);
  const auto whole = static_cast<long long>(std::llround(seconds));
  if (whole < 60) return formatted("%llds", whole);
  if (whole < 3600) return formatted("%lldm %02llds", whole / 60, whole % 60);
  if (whole < 24 * 3600) return formatted("%lldh %02lldm", whole / 3600, whole / 60 % 60);
  return formatted("%lldd %02lldh", whole / (24 * 3600), whole / 3600 % 24);
}

std::string human_bytes(double bytes) {
  if (!std::isfinite(bytes)) return "--";
  static constexpr std::array<const char*, 5> kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB"};
  if (std::fabs(bytes) < 1024) return formatted("%.0f B", bytes);
  std::size_t unit = 0;
  double value = bytes / 1024;
  while (std::fabs(value) >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return formatted("%.*f %s", decimals_for(std::fabs(value)), value, kUnits[unit]);
}

std::string human_number(double value) {
  if (!std::isfinite(value)) return "--";
  const double magnitude = std::fabs(value);
  if (magnitude == 0) return "0";
  if (magnitude < 1) return formatted(magnitude < 1e-3 ? "%.1e" : "%.3g", value);
  static constexpr std::array<const char*, 5> kUnits = {"", "k", "M", "G", "T"};
  std::size_t unit = 0;
  double scaled = value;
  // Four digits stay as they are ("4096"), larger figures get a unit.
  while (std::fabs(scaled) >= (unit == 0 ? 9999.5 : 999.5) && unit + 1 < kUnits.size()) {
    scaled /= 1000;
    ++unit;
  }
  return formatted("%.*f%s", decimals_for(std::fabs(scaled)), scaled, kUnits[unit]);
}

}  // namespace titan
