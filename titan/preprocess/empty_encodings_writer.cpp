#include "titan/preprocess/empty_encodings_writer.h"

#include <ATen/ATen.h>

#include <filesystem>

#include "titan/base/log.h"
#include "titan/data/empty_encodings.h"
#include "titan/io/atomic_file.h"
#include "titan/io/errno_status.h"
#include "titan/io/npy.h"

namespace titan::preprocess {
namespace {

namespace fs = std::filesystem;

/// bfloat16 computed on another device or in another batch differs by some hundredths; another
/// encoder by about 1.
constexpr double kSameEncoder = 0.1;

std::string render_npy(const at::Tensor& values) {
  const at::Tensor half = values.to(at::kCPU, at::kHalf).contiguous();
  std::string blob = render_npy_header("<f2", half.sizes().vec());
  blob.append(static_cast<const char*>(half.const_data_ptr()), half.nbytes());
  return blob;
}

/// rms(a - b) / rms(b).
double difference(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor wide = b.to(at::kCPU, at::kDouble);
  return ((a.to(at::kDouble) - wide).norm() / wide.norm().clamp_min(1e-30)).item<double>();
}

Status check_existing(const std::string& folder, const at::Tensor& t5, const at::Tensor& clip) {
  TITAN_ASSIGN_OR_RETURN(const EmptyEncodings there, load_empty_encodings(folder));
  const bool same_shapes =
      there.t5.sizes() == t5[0].sizes() && there.clip.sizes() == clip[0].sizes();
  if (same_shapes && difference(there.t5, t5[0]) < kSameEncoder &&
      difference(there.clip, clip[0]) < kSameEncoder)
    return ok_status();
  return failed_precondition(
      "[preprocess] ", folder,
      " holds the empty encodings of another encoder; set "
      "--preprocessing.empty_encodings_path to another folder, or remove that one");
}

}  // namespace

Status write_empty_encodings(const std::string& folder, const NamedTensors& fields) {
  const at::Tensor t5 = fields.get("t5_encodings"), clip = fields.get("clip_encodings");
  TITAN_CHECK(t5.defined() && t5.dim() == 3 && clip.defined() && clip.dim() == 2,
              "[preprocess] the text encoders give no t5_encodings [1, L, d] and clip_encodings "
              "[1, d]");
  const fs::path t5_path = fs::path(folder) / "t5_empty.npy";
  const fs::path clip_path = fs::path(folder) / "clip_empty.npy";
  std::error_code error;
  if (fs::exists(t5_path, error) && fs::exists(clip_path, error))
    return check_existing(folder, t5, clip);
  fs::create_directories(folder, error);
  if (error) return errno_status(error.value(), "make folder", folder);
  TITAN_RETURN_IF_ERROR(write_file_atomically(t5_path.string(), render_npy(t5)));
  TITAN_RETURN_IF_ERROR(write_file_atomically(clip_path.string(), render_npy(clip)));
  TITAN_LOG(INFO) << "[preprocess] encodings of the empty prompt: " << folder;
  return ok_status();
}

}  // namespace titan::preprocess
