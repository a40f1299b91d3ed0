// arrow_writer.h: writes Arrow's IPC streaming format, the columns that prepared data sets
// need.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "titan/base/status.h"

namespace titan {

struct ArrowColumnSpec {
  /// kNull holds nothing but nulls; a kStruct is its fields side by side and is never null itself.
  enum class Type : std::uint8_t {
    kBinary,
    kString,
    kInt32,
    kInt64,
    kDouble,
    kBool,
    kNull,
    kStruct
  };
  std::string name;
  Type type = Type::kBinary;
  std::vector<ArrowColumnSpec> fields = {};  ///< of a kStruct
};

/// One value: nothing (null), bytes (copied), or a number (a kBool takes 0 and 1).
using ArrowValue =
    std::variant<std::monostate, std::span<const std::byte>, std::int32_t, std::int64_t, double>;

/// Writes one file, atomically and durably (atomic_file.h). Rows are gathered into a record batch
/// in memory until flush().
class ArrowStreamWriter {
 public:
  /// `metadata` becomes the schema's.
  static StatusOr<ArrowStreamWriter> create(const std::string& path,
                                            const std::vector<ArrowColumnSpec>& columns,
                                            const std::map<std::string, std::string>& metadata);
  ~ArrowStreamWriter();
  ArrowStreamWriter(ArrowStreamWriter&&) noexcept;
  ArrowStreamWriter& operator=(ArrowStreamWriter&&) = delete;

  /// Appends a row: one value a column, of its type; for a struct the values of its fields, in
  /// their order.
  Status append(const std::vector<ArrowValue>& row);
  /// Writes the rows gathered so far as one record batch.
  Status flush();
  /// Flushes, writes the end mark, commits. Once.
  Status finish();

 private:
  struct State;
  explicit ArrowStreamWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace titan
