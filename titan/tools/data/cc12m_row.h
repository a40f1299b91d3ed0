// cc12m_row.h: a row of cc12m as the cleaned data set stores it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/arrow_writer.h"
#include "titan/io/image.h"
#include "titan/io/saved_folder.h"
#include "titan/tools/data/image_rows.h"

namespace titan::tools {

/// The picture of the cleaned data set: the shorter side resized to `size`, the other to
/// floor(size * long / short), by Pillow's bicubic filter in the image's own mode; the middle cut
/// out, the offset rounded half to even.
Image clean_image(const Image& image, int size);

/// Values that outlive the ImageRow they come from.
struct CleanRow {
  ImageRow row;
  std::string image_path;  ///< "000000003.jpg"
  std::vector<std::uint8_t> png;
  std::vector<std::optional<std::string>> texts;  ///< json's strings by column
  std::vector<ArrowValue> json;                   ///< json's values; strings are in `texts`
  int64_t dropped_values = 0;                     ///< of json, that do not fit their column
};

/// Columns jpg, json, txt, __key__, __url__, png (golden arrow/cc12m_disk); json is a struct of the
/// keys that the first rows have, in alphabetical order, of the types that they have there.
class CleanColumns {
 public:
  /// Takes the keys and types from these rows, as the datasets library does from the first five: a
  /// key that is null in all of them has type null.
  static StatusOr<CleanColumns> infer(const std::vector<ImageRow>& first_rows);

  const std::vector<SavedColumn>& columns() const { return columns_; }

  /// Fills in texts and json from `row`'s member. A value of another type than its column's is
  /// null and counted; in a text column it is JSON. An error where the member does not parse.
  Status set_json(CleanRow& row) const;
  /// The row as SavedFolderWriter takes it; views into `row`.
  std::vector<ArrowValue> values(const CleanRow& row) const;

 private:
  std::vector<SavedColumn> columns_;
  std::vector<SavedColumn> json_;  ///< fields of the struct
};

}  // namespace titan::tools
