// image_rows.h: the rows of a captioned image set as the datasets library numbers them: from 0,
// tars in sorted order, samples in stored order.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "titan/base/status.h"

namespace titan::tools {

/// One row, nothing decoded.
struct ImageRow {
  std::string key;
  std::string url;                   ///< name of the tar or Arrow file
  std::string image_extension = {};  ///< "jpg"
  std::optional<std::string> image = {};
  std::optional<std::string> txt = {};
  std::optional<std::string> json = {};
  std::string damage = {};  ///< why members are missing; else empty

  /// "cc12m-train-0000.tar:000000003"
  std::string name() const { return url + ":" + key; }
};

/// Random access; thread-safe. Tars are opened when the first of their rows is asked for.
class ImageRows {
 public:
  virtual ~ImageRows() = default;

  /// Nothing behind the last row. Errors are those of the disk; what is wrong with the row itself
  /// is in `damage`.
  virtual StatusOr<std::optional<ImageRow>> read(int64_t index) const = 0;
  /// How much of the data lies before `index`, in [0, 1]: a row in files that are open by now.
  virtual double share_before(int64_t index) const = 0;
  /// Changes with names and sizes of the files.
  virtual std::string fingerprint() const = 0;
};

/// Opens a folder of tars, or one tar. `action` begins the messages: nothing there, no tars, a
/// folder of save_to_disk.
StatusOr<std::unique_ptr<ImageRows>> open_tar_rows(const std::string& path,
                                                   const std::string& action);

/// A folder of save_to_disk; the image is the column that training would use, png before jpg.
StatusOr<std::unique_ptr<ImageRows>> open_saved_image_rows(const std::string& folder,
                                                           const std::string& action);
/// Whichever of the two `path` is.
StatusOr<std::unique_ptr<ImageRows>> open_image_rows(const std::string& path,
                                                     const std::string& action);

/// Why a row cannot be used for training: damage, no image, an image that does not decode, a text
/// that is not UTF-8, json that does not parse. Ok otherwise.
Status check_image_row(const ImageRow& row);

}  // namespace titan::tools
