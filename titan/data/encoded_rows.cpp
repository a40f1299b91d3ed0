#include "titan/data/encoded_rows.h"

#include <algorithm>
#include <filesystem>

#include "titan/data/finite_copy.h"
#include "titan/data/row_shards.h"
#include "titan/io/saved_folder.h"

namespace titan {

std::size_t encoded_bytes(const std::vector<int64_t>& shape) {
  std::size_t bytes = 2;
  for (const int64_t size : shape) bytes *= static_cast<std::size_t>(size);
  return bytes;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += str_cat(i == 0 ? "" : ", ", shape[i]);
  return text + "]";
}

StatusOr<std::unique_ptr<EncodedRows>> open_encoded_rows(const std::string& folder,
                                                         const std::string& speaker) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder, ignored))
    return not_found("[", speaker, "] no such folder (", folder, ")");
  if (looks_like_row_shards(folder)) return open_row_shards(folder, speaker);
  if (looks_like_saved_folder(folder)) return open_saved_rows(folder, speaker);
  return not_found("[", speaker, "] ", folder,
                   " holds no preprocessed samples: neither state.json and dataset_info.json (a "
                   "folder of save_to_disk) nor ",
                   kRowShardsIndex,
                   " (titan convert-data); scripts/download.sh cc12m-preprocessed DIR and "
                   "coco-preprocessed DIR get the published ones");
}

Status not_finite(std::size_t field, std::size_t element) {
  return invalid_argument("column '", kEncodedFields[field], "' holds NaN or infinity (element ",
                          element, ")");
}

Status check_encoded_row(const EncodedRow& row, const EncodedShapes& shapes, bool check_values) {
  for (std::size_t field = 0; field < kNumEncodedFields; ++field) {
    if (row.shapes[field] != shapes[field])
      return invalid_argument("column '", kEncodedFields[field], "' has shape ",
                              shape_text(row.shapes[field]), ", the data set has ",
                              shape_text(shapes[field]));
    if (!check_values) continue;
    if (const auto at = find_not_finite(row.values[field])) return not_finite(field, *at);
  }
  return ok_status();
}

Status check_encoded_shapes(const EncodedShapes& shapes) {
  constexpr std::array<std::size_t, kNumEncodedFields> kDimensions = {2, 1, 3, 3};
  for (std::size_t field = 0; field < kNumEncodedFields; ++field) {
    bool fits = shapes[field].size() == kDimensions[field];
    for (const int64_t size : shapes[field]) fits = fits && size > 0;
    if (!fits)
      return invalid_argument("column '", kEncodedFields[field], "' has shape ",
                              shape_text(shapes[field]), ", not ", kDimensions[field],
                              " dimensions");
  }
  if (shapes[2] != shapes[3])
    return invalid_argument("columns 'mean' ", shape_text(shapes[2]), " and 'logvar' ",
                            shape_text(shapes[3]), " have different shapes");
  return ok_status();
}

StatusOr<EncodedRow> first_readable_row(const EncodedRows& rows) {
  Status first_problem;
  const int64_t tries = std::min<int64_t>(rows.size(), 100);
  for (int64_t index = 0; index < tries; ++index) {
    StatusOr<EncodedRow> row = rows.read(index);
    const Status status =
        row.ok() ? annotate(check_encoded_shapes(row->shapes), rows.describe(index)) : row.status();
    if (status.ok()) return row;
    if (index == 0) first_problem = status;
  }
  return annotate(first_problem, str_cat("none of the first ", tries, " rows can be read"));
}

}  // namespace titan
