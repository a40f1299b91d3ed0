#include "titan/train/prompts.h"

#include <algorithm>

#include "titan/data/one_pass_loader.h"
#include "titan/data/tensor_file.h"

namespace titan {

StatusOr<EncodedPrompts> read_prompts(const Dataset& dataset, int64_t count) {
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
  if (prompts.labels.empty()) {
    for (int64_t i = 0; i < pass.batch.size(); ++i)
      prompts.labels.push_back(str_cat("sample ", sample[i]));
  }
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
