// encoded_rows.h: preprocessed samples: what an autoencoder and two text encoders made of a picture
// and its caption, row by row, whatever file format they lie in.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "titan/base/status.h"

namespace titan {

inline constexpr std::size_t kNumEncodedFields = 4;
/// Columns of the data and fields of the samples alike; all bfloat16.
inline constexpr std::array<const char*, kNumEncodedFields> kEncodedFields = {
    "t5_encodings", "clip_encodings", "mean", "logvar"};

/// Timesteps of an evaluation set are 0 to 7.
inline constexpr int64_t kNumEvalTimesteps = 8;

/// Sizes of the fields in their order: [St, ctx], [pooled], [C, Hl, Wl], [C, Hl, Wl].
using EncodedShapes = std::array<std::vector<int64_t>, kNumEncodedFields>;

/// Bytes of a bfloat16 array.
std::size_t encoded_bytes(const std::vector<int64_t>& shape);
/// "[256, 4096]".
std::string shape_text(const std::vector<int64_t>& shape);

/// What a row says beside its values; the key lives as long as the rows.
struct EncodedTag {
  std::string_view key;
  std::optional<int64_t> timestep;
};

/// One row: views that live as long as the rows they come from and `keep`.
struct EncodedRow : EncodedTag {
  EncodedShapes shapes;
  std::array<std::span<const std::byte>, kNumEncodedFields> values;  ///< C order, little-endian
  std::vector<std::shared_ptr<const void>> keep;  ///< values that had to be rearranged
};

/// Random access by row; thread-safe. Rows are read in place, from a mapped file.
class EncodedRows {
 public:
  virtual ~EncodedRows() = default;

  /// At least 1.
  virtual int64_t size() const = 0;
  /// kDataLoss or kInvalidArgument for a row that is damaged; the message names file and row. The
  /// values are in memory then, not to be waited for.
  virtual StatusOr<EncodedRow> read(int64_t index) const = 0;
  /// Key and timestep alone: no value is read from the disk.
  virtual StatusOr<EncodedTag> tag(int64_t index) const = 0;
  /// File and row, for messages.
  virtual std::string describe(int64_t index) const = 0;
  /// Changes with files, sizes and number of rows.
  virtual std::string fingerprint() const = 0;
  /// True where the writer has refused rows with values that are not finite, so that a conversion
  /// need not look again. (Training always looks: the copy into the batch does it for nothing.)
  virtual bool values_checked() const { return false; }
};

/// Opens a folder of either format: Hugging Face's save_to_disk (saved_folder.h), or our row shards
/// (row_shards.h). `speaker` begins the messages.
StatusOr<std::unique_ptr<EncodedRows>> open_encoded_rows(const std::string& folder,
                                                         const std::string& speaker);
/// The former of the two.
StatusOr<std::unique_ptr<EncodedRows>> open_saved_rows(const std::string& folder,
                                                       const std::string& speaker);

/// Writes all of `rows` as a folder of save_to_disk into `folder`, which must exist and be empty,
/// in record batches of at most 100 rows. `progress` hears the number of rows done. A bad row (see
/// check_encoded_row) is an error that names it.
Status write_saved_rows(const EncodedRows& rows, const std::string& folder, int64_t bytes_per_file,
                        const std::function<void(int64_t)>& progress);

/// An error where `row` has other shapes than `shapes`, or (`check_values`) NaN or infinity. The
/// message does not name the row.
Status check_encoded_row(const EncodedRow& row, const EncodedShapes& shapes, bool check_values);
/// That error for one value: "column 't5_encodings' holds NaN or infinity (element 17)".
Status not_finite(std::size_t field, std::size_t element);

/// An error where shapes are not those of text tokens, a pooled text and two equal latents.
Status check_encoded_shapes(const EncodedShapes& shapes);

/// The first row that can be read, of the first 100; its shapes are checked.
StatusOr<EncodedRow> first_readable_row(const EncodedRows& rows);

}  // namespace titan
