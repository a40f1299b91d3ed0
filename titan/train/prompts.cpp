#include "titan/train/prompts.h"

#include <algorithm>

#include "titan/base/check.h"
#include "titan/data/one_pass_loader.h"
#include "titan/data/tensor_file.h"

namespace titan {

StatusOr<EncodedPrompts> read_prompts(const Dataset& dataset, int64_t count,
                                      const BatchEncoder* encoder) {
  // The loader wants to share the data set; this one outlives it.
  const std::shared_ptr<const Dataset> borrowed(&dataset, [](const Dataset*) {});
  OnePassLoader loader(borrowed, {.batch_size = std::min(count, dataset.size()),
                                  .num_samples = count,
                                  .num_workers = 1,
                                  .prefetch_batches = 1});
  TITAN_ASSIGN_OR_RETURN(PassBatch pass, loader.next());
  EncodedPrompts prompts{.fields = std::move(pass.batch.fields),
                         .labels = std::move(pass.batch.captions)};
  const int64_t* sample = pass.batch.sample.const_data_ptr<int64_t>();
  if (encoder != nullptr && encoder->encodes_text() && !prompts.fields.contains("t5_encodings")) {
    prompts.labels.resize(static_cast<std::size_t>(pass.batch.size()));
    prompts.fields = encoder->encode_text(prompts.labels);
  }
  prompts.labels.resize(static_cast<std::size_t>(pass.batch.size()));
  for (std::size_t i = 0; i < prompts.labels.size(); ++i)
    if (prompts.labels[i].empty()) prompts.labels[i] = str_cat("sample ", sample[i]);
  return prompts;
}

StatusOr<EncodedPrompts> encode_prompts(const std::vector<std::string>& texts, int64_t count,
                                        const BatchEncoder* encoder) {
  TITAN_CHECK(!texts.empty(), "[sampling] no prompts to encode");
  if (encoder == nullptr || !encoder->encodes_text()) {
    return invalid_argument(
        "[sampling] prompts need the text encoders: set encoder.t5_encoder and "
        "encoder.clip_encoder (scripts/download.sh t5 DIR, scripts/download.sh clip DIR)");
  }
  EncodedPrompts prompts;
  for (int64_t k = 0; k < count; ++k)
    prompts.labels.push_back(texts[static_cast<std::size_t>(k) % texts.size()]);
  prompts.fields = encoder->encode_text(prompts.labels);
  return prompts;
}

StatusOr<EncodedPrompts> load_prompts(const std::string& path, int64_t count) {
  TITAN_ASSIGN_OR_RETURN(const TensorFile file, TensorFile::open(path));
  EncodedPrompts prompts;
  int64_t rows = -1;
  for (const TensorEntry& entry : file.entries()) {
    const at::Tensor tensor = file.view(entry);
    const int64_t length = tensor.dim() == 0 ? 0 : tensor.size(0);
    if (length == 0 || (rows >= 0 && rows != length)) {
      return invalid_argument("[sampling] the tensors of ", path,
                              " must have one row for each prompt (\"", entry.name, "\" has ",
                              length, rows >= 0 ? str_cat(", others ", rows) : "", ")");
    }
    rows = length;
    prompts.fields.set(entry.name, tensor.narrow(0, 0, std::min(count, rows)));
  }
  if (rows < 0) return invalid_argument("[sampling] ", path, " holds no tensors");
  for (int64_t i = 0; i < std::min(count, rows); ++i)
    prompts.labels.push_back(str_cat("prompt ", i));
  return prompts;
}

}  // namespace titan
