// dataset.h: random access to samples. Reading is a pure function of (index, draw key): any thread,
// any order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/base/status.h"
#include "titan/data/batch.h"

namespace titan {

struct JobConfig;

/// Key of a sample's own random draws (crop, flip): see base/philox.h.
struct DrawKey {
  std::uint64_t seed = 0;   ///< of the job
  std::uint32_t epoch = 0;  ///< of the sample
};

/// One sample on the CPU.
struct Sample {
  NamedTensors
      fields;  ///< tensors without the batch dimension; "image" [C, H, W] float32, "label" [] int64
  std::string caption;  ///< empty where there is none
  std::string key;      ///< what the data set itself calls the sample; empty where it has no names
};

/// One field of every sample: a tensor without the batch dimension.
struct FieldLayout {
  std::string name;                  ///< as in Sample::fields
  std::vector<int64_t> sizes;        ///< without the batch dimension
  at::ScalarType type = at::kFloat;  ///< of the elements

  std::size_t size_bytes() const;  ///< of one sample's field
};

/// Samples by number, wherever they lie.
class Dataset {
 public:
  virtual ~Dataset() = default;

  /// Number of samples, at least 1.
  virtual int64_t size() const = 0;

  /// Reads sample `index` in [0, size()). Thread-safe. Every sample has the same fields, shapes and
  /// dtypes. Errors: kDataLoss / kInvalidArgument for a broken or unusable sample (the loader
  /// skips, names and counts it); kUnavailable for a read error that may pass (retried, then the
  /// run stops).
  virtual StatusOr<Sample> read(int64_t index, const DrawKey& key) const = 0;

  /// The fields of every sample where they are known beforehand; empty where they are not. A data
  /// set that has them implements read_to(), and the loader lets it write into the batch itself;
  /// its samples have no caption.
  virtual std::vector<FieldLayout> layout() const { return {}; }
  /// As read(), each field written to its place (in the layout's order, contiguous). After an error
  /// the places may hold anything.
  virtual Status read_to(int64_t index, const DrawKey& key,
                         const std::vector<std::byte*>& places) const;

  /// Name of a sample for messages: "shapes-0001.tar:000123.jpg".
  virtual std::string describe(int64_t index) const = 0;

  /// Class of a sample without decoding its image; empty where samples carry no class or only
  /// read() can tell.
  virtual std::optional<int64_t> label_of(int64_t /*index*/) const { return std::nullopt; }

  /// 0 where samples carry no class.
  virtual int64_t num_classes() const { return 0; }
  /// Class names, or empty.
  virtual std::vector<std::string> class_names() const { return {}; }

  /// Changes when the data changes (files, sizes, count): kept in checkpoints, compared on resume.
  virtual std::string fingerprint() const = 0;
};

/// Opens the data set that training.dataset names (synthetic, cifar10, class_folder, webdataset,
/// latents, cc12m_preprocessed, coco_preprocessed, flux_synthetic, and what register_dataset
/// added). An unknown name lists the known ones.
StatusOr<std::unique_ptr<Dataset>> open_dataset(const JobConfig& config);

/// Opens a data set for a job.
using DatasetFactory = StatusOr<std::unique_ptr<Dataset>> (*)(const JobConfig&);
/// Adds a data set by name; an error if the name is taken.
Status register_dataset(const std::string& name, DatasetFactory factory);
/// Forgets what register_dataset added. For tests.
void reset_dataset_registry();

}  // namespace titan
