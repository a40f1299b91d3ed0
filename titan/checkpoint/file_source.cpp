#include "titan/checkpoint/file_source.h"

#include <cstring>
#include <utility>

#include "titan/io/model_cache.h"
#include "titan/io/safetensors_set.h"
#include "titan/io/torch_set.h"
#include "titan/io/weight_files.h"

namespace titan::checkpoint {
namespace {

class SafetensorsSource : public WeightSource {
 public:
  explicit SafetensorsSource(SafetensorsSet set) : set_(std::move(set)) {
    path_ = set_.path();
    set_tensors(set_.tensors());
  }
  bool is_checkpoint() const override { return false; }

  Status read(const std::string& name, int64_t first, int64_t count, void* out) override {
    const TensorEntry* entry = set_.find(name);
    TITAN_CHECK(entry != nullptr, "[weights] no such tensor (", name, ")");
    const std::size_t size = element_size(entry->type);
    const std::size_t begin = static_cast<std::size_t>(first) * size;
    const std::size_t bytes = static_cast<std::size_t>(count) * size;
    TITAN_CHECK(begin + bytes <= entry->size_bytes, "[weights] a range outside ", name);
    if (bytes > 0) std::memcpy(out, entry->data + begin, bytes);
    set_.release(*entry, begin, bytes);
    return ok_status();
  }

 private:
  SafetensorsSet set_;
};

class TorchSource : public WeightSource {
 public:
  explicit TorchSource(TorchSet set) : set_(std::move(set)) {
    path_ = set_.path();
    set_tensors(set_.tensors());
  }
  bool is_checkpoint() const override { return false; }

  Status read(const std::string& name, int64_t first, int64_t count, void* out) override {
    set_.read(name, static_cast<std::uint64_t>(first), static_cast<std::uint64_t>(count), out);
    return ok_status();
  }

 private:
  TorchSet set_;
};

}  // namespace

StatusOr<std::unique_ptr<WeightSource>> open_weight_files(const std::string& path) {
  TITAN_ASSIGN_OR_RETURN(const std::string place, resolve_model_path(path));
  TITAN_ASSIGN_OR_RETURN(const std::string file, find_weight_file(place));
  TITAN_ASSIGN_OR_RETURN(const WeightFormat format, weight_format(file));
  if (format == WeightFormat::kTorch) {
    TITAN_ASSIGN_OR_RETURN(TorchSet set, TorchSet::open(file));
    return std::make_unique<TorchSource>(std::move(set));
  }
  TITAN_ASSIGN_OR_RETURN(SafetensorsSet set, SafetensorsSet::open(file));
  return std::make_unique<SafetensorsSource>(std::move(set));
}

}  // namespace titan::checkpoint
