// Preprocessed samples in memory, with whatever fault a test wants.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "titan/data/encoded_rows.h"

namespace titan::testing {

/// Rows of t5 [6, 8], clip [4], mean and logvar [4, 2, 2]; value i of field f of row r is the
/// bfloat16 whose bits are 0x3F00 + 31 r + 7 f + i (about 0.5 to 2: finite, and different
/// everywhere).
class MemoryRows : public EncodedRows {
 public:
  explicit MemoryRows(int64_t count) {
    const EncodedShapes shapes = {{{6, 8}, {4}, {4, 2, 2}, {4, 2, 2}}};
    for (int64_t row = 0; row < count; ++row) {
      Stored stored{.key = std::to_string(row * row), .shapes = shapes, .timestep = row % 8};
      for (std::size_t field = 0; field < kNumEncodedFields; ++field) {
        stored.values[field].resize(encoded_bytes(shapes[field]) / 2);
        for (std::size_t i = 0; i < stored.values[field].size(); ++i)
          stored.values[field][i] = static_cast<std::uint16_t>(
              0x3F00 + 31 * static_cast<std::size_t>(row % 4) + 7 * field + i % 16);
      }
      rows.push_back(std::move(stored));
    }
  }

  int64_t size() const override { return static_cast<int64_t>(rows.size()); }
  StatusOr<EncodedRow> read(int64_t index) const override {
    const Stored& stored = rows[static_cast<std::size_t>(index)];
    ++num_reads;
    EncodedRow row;
    row.key = stored.key;
    row.shapes = stored.shapes;
    row.timestep = stored.timestep;
    for (std::size_t field = 0; field < kNumEncodedFields; ++field)
      row.values[field] = std::as_bytes(std::span(stored.values[field]));
    return row;
  }
  StatusOr<EncodedTag> tag(int64_t index) const override {
    const Stored& stored = rows[static_cast<std::size_t>(index)];
    return EncodedTag{.key = stored.key, .timestep = stored.timestep};
  }
  std::string describe(int64_t index) const override {
    return "memory row " + std::to_string(index);
  }
  std::string fingerprint() const override { return "memory"; }
  bool values_checked() const override { return pretend_checked; }

  struct Stored {
    std::string key;
    EncodedShapes shapes;
    std::optional<int64_t> timestep;
    std::array<std::vector<std::uint16_t>, kNumEncodedFields> values = {};
  };
  std::vector<Stored> rows;
  mutable int64_t num_reads = 0;
  bool pretend_checked = false;  ///< lets faults through to the file
};

}  // namespace titan::testing
