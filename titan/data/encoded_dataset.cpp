// The preprocessed data sets of the Flux job: fields t5_encodings [St, ctx], clip_encodings
// [pooled], mean and logvar [C, Hl, Wl], all bfloat16, and where every sample has one timestep []
// int64.
#include <ATen/ATen.h>

#include <cstring>
#include <utility>

#include "titan/config/job_config.h"
#include "titan/data/builtin_datasets.h"
#include "titan/data/encoded_rows.h"
#include "titan/data/sample_parts.h"

namespace titan {
namespace {

Status check_timestep(const std::optional<int64_t>& timestep) {
  if (!timestep) return invalid_argument("no timestep, other rows have one");
  if (*timestep >= 0 && *timestep < kNumEvalTimesteps) return ok_status();
  return invalid_argument("timestep out of range (", *timestep, ", it must be 0 to ",
                          kNumEvalTimesteps - 1, ")");
}

class EncodedDataset : public Dataset {
 public:
  EncodedDataset(std::unique_ptr<EncodedRows> rows, EncodedShapes shapes, bool with_timestep,
                 std::string name)
      : rows_(std::move(rows)),
        shapes_(std::move(shapes)),
        with_timestep_(with_timestep),
        name_(std::move(name)) {}

  int64_t size() const override { return rows_->size(); }
  std::string describe(int64_t index) const override { return rows_->describe(index); }
  std::string fingerprint() const override { return rows_->fingerprint(); }

  /// The tensors are views of the mapped file where its values lie on even addresses: never write
  /// to them. They keep the file open.
  StatusOr<Sample> read(int64_t index, const DrawKey& /*key*/) const override {
    TITAN_ASSIGN_OR_RETURN(const EncodedRow row, rows_->read(index));
    Status status = check_encoded_row(row, shapes_, !rows_->values_checked());
    if (status.ok() && with_timestep_) status = check_timestep(row.timestep);
    if (!status.ok()) return annotate(status, str_cat("[", name_, "] ", describe(index)));
    Sample sample;
    for (std::size_t field = 0; field < kNumEncodedFields; ++field)
      sample.fields.set(kEncodedFields[field], view(row, field));
    if (with_timestep_) sample.fields.set("timestep", label_tensor(*row.timestep));
    return sample;
  }

 private:
  at::Tensor view(const EncodedRow& row, std::size_t field) const {
    const std::span<const std::byte> values = row.values[field];
    const auto options = at::TensorOptions().dtype(at::kBFloat16);
    // from_blob wants a mutable pointer; the pages are mapped read-only.
    auto* data = const_cast<std::byte*>(values.data());
    if (reinterpret_cast<std::uintptr_t>(data) % 2 == 0)
      return at::from_blob(
          data, row.shapes[field], [rows = rows_, keep = row.keep](void*) {}, options);
    at::Tensor copy = at::empty(row.shapes[field], options);
    std::memcpy(copy.mutable_data_ptr(), values.data(), values.size());
    return copy;
  }

  std::shared_ptr<const EncodedRows> rows_;
  EncodedShapes shapes_;
  bool with_timestep_;
  std::string name_;
};

StatusOr<std::unique_ptr<Dataset>> open_preprocessed(const JobConfig& config, bool needs_timestep) {
  const std::string& name = config.training.dataset;
  TITAN_ASSIGN_OR_RETURN(const std::filesystem::path path, dataset_path(config));
  TITAN_ASSIGN_OR_RETURN(std::unique_ptr<EncodedRows> rows, open_encoded_rows(path.string(), name));
  StatusOr<EncodedRow> first = first_readable_row(*rows);
  if (!first.ok()) return annotate(first.status(), str_cat("[", name, "] ", path.string()));
  if (needs_timestep && !first->timestep)
    return invalid_argument(
        "[", name, "] ", path.string(), ": ", rows->describe(0),
        " has no timestep; an evaluation set needs a column 'timestep' of 0 to ",
        kNumEvalTimesteps - 1);
  const std::vector<int64_t>& latent = first->shapes[2];
  const std::vector<int64_t>& wanted = config.dataset.image_size;
  if (!wanted.empty() && std::vector<int64_t>(latent.end() - 2, latent.end()) != wanted)
    return invalid_argument("[", name, "] dataset.image_size does not fit the latents (",
                            shape_text(wanted), ", 'mean' is ", shape_text(latent),
                            "): latents are not resized");
  return std::make_unique<EncodedDataset>(std::move(rows), first->shapes, needs_timestep, name);
}

}  // namespace

StatusOr<std::unique_ptr<Dataset>> open_cc12m_preprocessed(const JobConfig& config) {
  return open_preprocessed(config, /*needs_timestep=*/false);
}

StatusOr<std::unique_ptr<Dataset>> open_coco_preprocessed(const JobConfig& config) {
  return open_preprocessed(config, /*needs_timestep=*/true);
}

}  // namespace titan
