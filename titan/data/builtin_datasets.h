// builtin_datasets.h: the data sets that come with titan; open_dataset finds them by name.
#pragma once

#include <memory>

#include "titan/base/status.h"
#include "titan/data/dataset.h"

namespace titan {

/// Noise around a mean per class, made from (index) alone: no file, 1,000,000 samples [channels, H,
/// W]. For tests and benchmarks.
StatusOr<std::unique_ptr<Dataset>> open_synthetic(const JobConfig& config);
/// CIFAR-10's binary version: data_batch_*.bin in dataset_path or its sub-folder
/// cifar-10-batches-bin.
StatusOr<std::unique_ptr<Dataset>> open_cifar10(const JobConfig& config);
/// A folder with a sub-folder of images per class.
StatusOr<std::unique_ptr<Dataset>> open_class_folder(const JobConfig& config);
/// Tars of <key>.<extension> members: a folder of tars, one tar, or a glob pattern.
StatusOr<std::unique_ptr<Dataset>> open_webdataset(const JobConfig& config);
/// A folder of images, read recursively, each with its caption in a .txt file of the same stem
/// (none: an empty caption).
StatusOr<std::unique_ptr<Dataset>> open_image_folder(const JobConfig& config);
/// A folder of MosaicML's shards: index.json and .mds or .mds.zstd files.
StatusOr<std::unique_ptr<Dataset>> open_mds(const JobConfig& config);
/// The reference's sets of captioned images, by training.dataset: cc12m_wds, cc12m_wds_30k (its
/// first 30,000 samples), cc12m_test, cc12m_disk, coco. A path may hold tars or a folder of
/// save_to_disk. cc12m: images smaller than asked are skipped. coco: samples have a timestep.
StatusOr<std::unique_ptr<Dataset>> open_captioned_images(const JobConfig& config);
/// 128 times one random 256 x 256 picture, "A photo of a cat", timestep = index mod 8.
StatusOr<std::unique_ptr<Dataset>> open_dummy(const JobConfig& config);
/// Safetensors files with `latents` [N, C, H, W] or [N, C, T, H, W] and `labels` [N]: a file or a
/// folder of shards.
StatusOr<std::unique_ptr<Dataset>> open_latents(const JobConfig& config);
/// Preprocessed samples of the Flux job (encoded_rows.h), in stored order: a folder of save_to_disk
/// or of our row shards. Training data; a timestep that the first row has is handed on unchecked.
StatusOr<std::unique_ptr<Dataset>> open_cc12m_preprocessed(const JobConfig& config);
/// The same for evaluation: every row has a timestep of 0 to 7.
StatusOr<std::unique_ptr<Dataset>> open_coco_preprocessed(const JobConfig& config);
/// Made-up samples with the same fields in the sizes of [encoder] and training.img_size.
StatusOr<std::unique_ptr<Dataset>> open_flux_synthetic(const JobConfig& config);

}  // namespace titan
