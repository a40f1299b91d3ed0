#include "titan/data/empty_encodings.h"

#include <ATen/ATen.h>

#include <cstring>
#include <filesystem>

#include "titan/data/encoded_rows.h"
#include "titan/data/finite_copy.h"
#include "titan/io/mapped_file.h"
#include "titan/io/npy.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHow =
    "; encoder.empty_encodings_path names a folder with t5_empty.npy and clip_empty.npy, the "
    "encodings of the empty prompt, which the preprocessed data set comes with "
    "(scripts/download.sh empty-encodings DIR gets them); without them set "
    "training.class_dropout_prob = 0";

StatusOr<at::ScalarType> scalar_type_of(const std::string& type) {
  if (type == "<f2") return at::kHalf;
  if (type == "<f4") return at::kFloat;
  if (type == "<u2") return at::kBFloat16;
  return data_loss("has dtype '", type, "' (<f2, <f4, and <u2 as bits of bfloat16, are known)");
}

/// First row of the array as bfloat16.
StatusOr<at::Tensor> first_row(const std::string& path, std::size_t dimensions) {
  TITAN_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
  TITAN_ASSIGN_OR_RETURN(const NpyHeader header, parse_npy(file.bytes()));
  TITAN_ASSIGN_OR_RETURN(const at::ScalarType type, scalar_type_of(header.type));
  bool fits = header.shape.size() == dimensions && !header.fortran_order;
  for (const int64_t size : header.shape) fits = fits && size > 0;
  if (!fits)
    return data_loss("has shape ", shape_text(header.shape),
                     header.fortran_order ? " in Fortran order" : "", ", not ", dimensions,
                     " dimensions with one row at least");
  const std::vector<int64_t> sizes(header.shape.begin() + 1, header.shape.end());
  at::Tensor row = at::empty(sizes, type);
  std::memcpy(row.mutable_data_ptr(), file.data() + header.data_offset, row.nbytes());
  row = row.to(at::kBFloat16);
  if (const auto at =
          find_not_finite({static_cast<const std::byte*>(row.const_data_ptr()), row.nbytes()}))
    return data_loss("holds NaN or infinity (element ", *at, ")");
  return row;
}

StatusOr<at::Tensor> load(const fs::path& path, std::size_t dimensions) {
  std::error_code ignored;
  if (!fs::exists(path, ignored))
    return not_found("[empty encodings] no such file (", path.string(), ")", kHow);
  StatusOr<at::Tensor> row = first_row(path.string(), dimensions);
  if (!row.ok()) return annotate(row.status(), str_cat("[empty encodings] ", path.string()));
  return row;
}

}  // namespace

StatusOr<EmptyEncodings> load_empty_encodings(const std::string& folder) {
  std::error_code ignored;
  if (folder.empty())
    return not_found("[empty encodings] encoder.empty_encodings_path is not set", kHow);
  if (!fs::is_directory(folder, ignored))
    return not_found("[empty encodings] no such folder (", folder, ")", kHow);
  EmptyEncodings encodings;
  TITAN_ASSIGN_OR_RETURN(encodings.t5, load(fs::path(folder) / "t5_empty.npy", 3));
  TITAN_ASSIGN_OR_RETURN(encodings.clip, load(fs::path(folder) / "clip_empty.npy", 2));
  return encodings;
}

Status check_empty_encodings(const EmptyEncodings& encodings, const std::vector<int64_t>& t5,
                             const std::vector<int64_t>& clip) {
  if (encodings.t5.sizes() == at::IntArrayRef(t5) &&
      encodings.clip.sizes() == at::IntArrayRef(clip))
    return ok_status();
  return invalid_argument("[empty encodings] they do not fit the data (t5_empty.npy ",
                          shape_text(encodings.t5.sizes().vec()), ", the samples' t5_encodings ",
                          shape_text(t5), "; clip_empty.npy ",
                          shape_text(encodings.clip.sizes().vec()), ", clip_encodings ",
                          shape_text(clip), ")");
}

}  // namespace titan
