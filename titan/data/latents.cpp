// Latents in safetensors, encoded once by an autoencoder: `latents` [N, C, H, W] or [N, C, T, H, W]
// and `labels` [N]. Shards are mapped, never loaded: a rank touches the pages of the samples it
// reads.
#include <algorithm>
#include <filesystem>
#include <utility>

#include <ATen/ATen.h>

#include "titan/base/log.h"
#include "titan/config/job_config.h"
#include "titan/data/builtin_datasets.h"
#include "titan/data/dataset_path.h"
#include "titan/data/sample_parts.h"
#include "titan/data/tensor_file.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

// TorchDiTan's 8-bit latents: value * 16 / 255, no further normalisation.
constexpr float kScale8Bit = 16.0F / 255.0F;

struct Shard {
  std::string name;
  std::uint64_t size_bytes = 0;
  at::Tensor latents;  ///< view of the mapping
  at::Tensor labels;   ///< [n] int64, or undefined
};

template <class T>
void convert(const void* source, int64_t count, float scale, float* out) {
  const auto* values = static_cast<const T*>(source);
  for (int64_t i = 0; i < count; ++i) out[i] = static_cast<float>(values[i]) * scale;
}

/// Plain loops: an ATen operator would start an OpenMP team in every worker thread.
Status to_float(const at::Tensor& latents, int64_t index, float* out) {
  const int64_t count = latents.numel() / latents.size(0);
  const char* source = static_cast<const char*>(latents.const_data_ptr()) +
                       index * count * static_cast<int64_t>(latents.element_size());
  switch (latents.scalar_type()) {
    case at::kFloat:
      convert<float>(source, count, 1, out);
      return ok_status();
    case at::kHalf:
      convert<c10::Half>(source, count, 1, out);
      return ok_status();
    case at::kBFloat16:
      convert<c10::BFloat16>(source, count, 1, out);
      return ok_status();
    case at::kByte:
      convert<std::uint8_t>(source, count, kScale8Bit, out);
      return ok_status();
    case at::kChar:
      convert<std::int8_t>(source, count, kScale8Bit, out);
      return ok_status();
    default:
      return invalid_argument("latents of type ", c10::toString(latents.scalar_type()),
                              " (F32, F16, BF16, U8 and I8 are known)");
  }
}

class Latents : public Dataset {
 public:
  Latents(std::vector<Shard> shards, int64_t num_classes)
      : shards_(std::move(shards)), num_classes_(num_classes) {
    for (const Shard& shard : shards_) {
      size_ += shard.latents.size(0);
      ends_.push_back(size_);
    }
  }

  int64_t size() const override { return size_; }

  StatusOr<Sample> read(int64_t index, const DrawKey& /*key*/) const override {
    const auto [shard, row] = find(index);
    at::Tensor image = at::empty(shard->latents.sizes().slice(1), at::kFloat);
    TITAN_RETURN_IF_ERROR(to_float(shard->latents, row, image.mutable_data_ptr<float>()));
    Sample sample;
    sample.fields.set("image", image);
    if (shard->labels.defined()) {
      const int64_t label = shard->labels.const_data_ptr<int64_t>()[row];
      if (const Status status = check_label(label, num_classes_); !status.ok())
        return annotate(status, describe(index));
      sample.fields.set("label", label_tensor(label));
    }
    return sample;
  }

  std::string describe(int64_t index) const override {
    const auto [shard, row] = find(index);
    return str_cat(shard->name, ":", row);
  }
  std::optional<int64_t> label_of(int64_t index) const override {
    const auto [shard, row] = find(index);
    if (!shard->labels.defined()) return std::nullopt;
    return shard->labels.const_data_ptr<int64_t>()[row];
  }
  int64_t num_classes() const override { return num_classes_; }

  std::string fingerprint() const override {
    Fingerprint fingerprint;
    for (const Shard& shard : shards_)
      fingerprint.add(shard.name, " ", shard.size_bytes, " ", shard.latents.sizes());
    return fingerprint.hex();
  }

 private:
  std::pair<const Shard*, int64_t> find(int64_t index) const {
    TITAN_CHECK(index >= 0 && index < size_, "[latents] sample out of range (", index, " of ",
                size_, ")");
    const auto shard = static_cast<std::size_t>(
        std::upper_bound(ends_.begin(), ends_.end(), index) - ends_.begin());
    return {&shards_[shard], index - (shard == 0 ? 0 : ends_[shard - 1])};
  }

  std::vector<Shard> shards_;
  int64_t num_classes_;
  std::vector<int64_t> ends_;
  int64_t size_ = 0;
};

StatusOr<Shard> open_shard(const std::string& path) {
  TITAN_ASSIGN_OR_RETURN(const TensorFile file,
                         TensorFile::open(path, MappedFile::Access::kRandom));
  const auto refuse = [&](const auto&... why) {
    return invalid_argument("[latents] ", path, ": ", why...);
  };
  if (!file.contains("latents"))
    return refuse(file.contains("indices") ? "discrete `indices` are not supported"
                                           : "no tensor `latents`");
  Shard shard{
      .name = fs::path(path).filename().string(), .latents = *file.view("latents"), .labels = {}};
  TITAN_ASSIGN_OR_RETURN(const FileStamp stamp, file_stamp(path));
  shard.size_bytes = stamp.size_bytes;
  const at::Tensor& latents = shard.latents;
  if (latents.dim() != 4 && latents.dim() != 5)
    return refuse("`latents` must be [N, C, H, W] or [N, C, T, H, W], not ", latents.sizes());
  if (latents.numel() == 0) return refuse("`latents` is empty, ", latents.sizes());
  const at::ScalarType type = latents.scalar_type();
  if (type != at::kFloat && type != at::kHalf && type != at::kBFloat16 && type != at::kByte &&
      type != at::kChar)
    return refuse("`latents` has type ", c10::toString(type),
                  " (F32, F16, BF16, U8 and I8 are known)");
  if (!file.contains("labels")) return shard;
  const at::Tensor labels = *file.view("labels");
  if (labels.dim() != 1 || labels.size(0) != latents.size(0) ||
      !at::isIntegralType(labels.scalar_type(), /*includeBool=*/false))
    return refuse("`labels` must be ", latents.size(0), " integers, not ", labels.sizes(),
                  " of type ", c10::toString(labels.scalar_type()));
  shard.labels = labels.to(at::kLong).contiguous();
  return shard;
}

Status check_alike(const std::vector<Shard>& shards) {
  for (const Shard& shard : shards) {
    const Shard& first = shards.front();
    if (shard.latents.sizes().slice(1) != first.latents.sizes().slice(1) ||
        shard.labels.defined() != first.labels.defined())
      return invalid_argument("[latents] shards differ (", first.name, " ", first.latents.sizes(),
                              ", ", shard.name, " ", shard.latents.sizes(),
                              "; labels in all or none)");
  }
  return ok_status();
}

int64_t count_classes(const std::vector<Shard>& shards) {
  int64_t count = 0;
  for (const Shard& shard : shards)
    if (shard.labels.defined()) count = std::max(count, shard.labels.max().item<int64_t>() + 1);
  return count;
}

}  // namespace

StatusOr<std::unique_ptr<Dataset>> open_latents(const JobConfig& config) {
  TITAN_ASSIGN_OR_RETURN(const fs::path path, dataset_path(config));
  std::vector<fs::path> paths = {path};
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    TITAN_ASSIGN_OR_RETURN(paths, files_ending_in(path, {".safetensors"}));
  }
  std::vector<Shard> shards;
  for (const fs::path& file : paths) {
    TITAN_ASSIGN_OR_RETURN(Shard shard, open_shard(file.string()));
    shards.push_back(std::move(shard));
  }
  if (shards.empty())
    return not_found("[latents] no *.safetensors in ", path.string(),
                     " (scripts/download.sh imagenet-latents DIR gets ImageNet's)");
  TITAN_RETURN_IF_ERROR(check_alike(shards));
  const at::IntArrayRef sizes = shards.front().latents.sizes();
  const std::vector<int64_t>& wanted = config.dataset.image_size;
  if (!wanted.empty() && sizes.slice(sizes.size() - 2) != at::IntArrayRef(wanted))
    return invalid_argument("[latents] dataset.image_size does not fit the file (",
                            at::IntArrayRef(wanted), ", the latents are ",
                            sizes.slice(sizes.size() - 2), "): latents are not resized");
  if (config.dataset.flip)
    TITAN_LOG(WARNING) << "[latents] dataset.flip has no effect: a mirrored latent is not the "
                          "latent of a mirror image";
  const int64_t found = count_classes(shards);
  return std::make_unique<Latents>(
      std::move(shards), config.dataset.num_classes > 0 ? config.dataset.num_classes : found);
}

}  // namespace titan
