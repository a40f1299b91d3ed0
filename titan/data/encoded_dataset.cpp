// The preprocessed data sets of the Flux job: fields t5_encodings [St, ctx], clip_encodings
// [pooled], mean and logvar [C, Hl, Wl], all bfloat16, and where the first row has one timestep []
// int64.
#include <ATen/ATen.h>

#include <cstring>
#include <utility>

#include "titan/config/job_config.h"
#include "titan/data/builtin_datasets.h"
#include "titan/data/dataset_path.h"
#include "titan/data/encoded_rows.h"
#include "titan/data/finite_copy.h"
#include "titan/data/sample_parts.h"

namespace titan {
namespace {

Status check_timestep(const std::optional<int64_t>& timestep) {
  if (!timestep) return invalid_argument("no timestep, other rows have one");
  if (*timestep >= 0 && *timestep < kNumEvalTimesteps) return ok_status();
  return invalid_argument("timestep out of range (", *timestep, ", it must be 0 to ",
                          kNumEvalTimesteps - 1, ")");
}

/// What becomes of the column. Training takes no notice of it, so a training set may hold anything
/// there; it is handed on for the run that evaluates on such data, and evaluation refuses what is
/// not 0 to 7.
enum class Timestep : std::uint8_t { kNone, kAsItIs, kChecked };

class EncodedDataset : public Dataset {
 public:
  EncodedDataset(std::unique_ptr<EncodedRows> rows, EncodedShapes shapes, Timestep timestep,
                 std::string name)
      : rows_(std::move(rows)),
        shapes_(std::move(shapes)),
        timestep_(timestep),
        name_(std::move(name)) {}

  int64_t size() const override { return rows_->size(); }
  std::string describe(int64_t index) const override { return rows_->describe(index); }
  std::string fingerprint() const override { return rows_->fingerprint(); }

  std::vector<FieldLayout> layout() const override {
    std::vector<FieldLayout> layout;
    for (std::size_t field = 0; field < kNumEncodedFields; ++field)
      layout.push_back({kEncodedFields[field], shapes_[field], at::kBFloat16});
    if (timestep_ != Timestep::kNone) layout.push_back({"timestep", {}, at::kLong});
    return layout;
  }

  Status read_to(int64_t index, const DrawKey& /*key*/,
                 const std::vector<std::byte*>& places) const override {
    TITAN_ASSIGN_OR_RETURN(const EncodedRow row, rows_->read(index));
    return annotate(copy(row, places), str_cat("[", name_, "] ", describe(index)));
  }

  StatusOr<Sample> read(int64_t index, const DrawKey& key) const override {
    Sample sample;
    std::vector<std::byte*> places;
    for (const FieldLayout& field : layout()) {
      const at::Tensor tensor = at::empty(field.sizes, field.type);
      places.push_back(static_cast<std::byte*>(tensor.mutable_data_ptr()));
      sample.fields.set(field.name, tensor);
    }
    TITAN_RETURN_IF_ERROR(read_to(index, key, places));
    return sample;
  }

 private:
  Status copy(const EncodedRow& row, const std::vector<std::byte*>& places) const {
    TITAN_RETURN_IF_ERROR(check_encoded_row(row, shapes_, /*check_values=*/false));
    if (timestep_ == Timestep::kChecked) TITAN_RETURN_IF_ERROR(check_timestep(row.timestep));
    for (std::size_t field = 0; field < kNumEncodedFields; ++field)
      if (const auto at = copy_finite(row.values[field], places[field]))
        return not_finite(field, *at);
    if (timestep_ == Timestep::kNone) return ok_status();
    const int64_t timestep = row.timestep.value_or(-1);
    std::memcpy(places[kNumEncodedFields], &timestep, sizeof timestep);
    return ok_status();
  }

  std::unique_ptr<const EncodedRows> rows_;
  EncodedShapes shapes_;
  Timestep timestep_;
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
  const Timestep timestep = needs_timestep                ? Timestep::kChecked
                            : first->timestep.has_value() ? Timestep::kAsItIs
                                                          : Timestep::kNone;
  return std::make_unique<EncodedDataset>(std::move(rows), first->shapes, timestep, name);
}

}  // namespace

StatusOr<std::unique_ptr<Dataset>> open_cc12m_preprocessed(const JobConfig& config) {
  return open_preprocessed(config, /*needs_timestep=*/false);
}

StatusOr<std::unique_ptr<Dataset>> open_coco_preprocessed(const JobConfig& config) {
  return open_preprocessed(config, /*needs_timestep=*/true);
}

}  // namespace titan
