#include "titan/tools/data/image_rows.h"

#include "titan/data/webdataset_fields.h"
#include "titan/io/image_decode.h"
#include "titan/io/saved_folder.h"

namespace titan::tools {

StatusOr<std::unique_ptr<ImageRows>> open_image_rows(const std::string& path,
                                                     const std::string& action) {
  return looks_like_saved_folder(path) ? open_saved_image_rows(path, action)
                                       : open_tar_rows(path, action);
}

Status check_image_row(const ImageRow& row) {
  if (!row.damage.empty()) return data_loss(row.damage);
  if (!row.image) return data_loss("no image");
  const auto image =
      decode_image({reinterpret_cast<const std::uint8_t*>(row.image->data()), row.image->size()});
  TITAN_RETURN_IF_ERROR(image.status());
  return decode_text_members({.txt = row.txt, .json = row.json, .label = {}}, "").status();
}

}  // namespace titan::tools
