// tar_set.h: the tars of a webdataset, on the local disk or on servers, opened when they are read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "titan/base/segments.h"
#include "titan/base/status.h"
#include "titan/data/remote_tars.h"
#include "titan/io/open_files.h"
#include "titan/io/tar_index.h"

namespace titan {

struct JobConfig;

class TarSet {
 public:
  /// The tars that training.dataset_path (or the data set's usual place) means: a folder of tars,
  /// one tar, a glob, or what list_shards() knows: addresses, lists, braces. All sample counts are
  /// known afterwards (RemoteTars::learn_counts). Damage is warned of; no samples is an error.
  static StatusOr<std::shared_ptr<const TarSet>> open(const JobConfig& config);

  /// Samples of each tar.
  const Segments& samples() const { return samples_; }
  std::size_t size() const { return tars_.size(); }
  /// "cc12m-train-0000.tar"
  const std::string& name(std::size_t tar) const { return tars_[tar].name; }
  std::uint64_t size_bytes(std::size_t tar) const { return tars_[tar].size_bytes; }

  /// The tar, fetched if need be (RemoteTars::open). Thread-safe.
  StatusOr<OpenTar> read(std::size_t tar) const;
  /// Samples that are read next (RemoteShards::expect).
  void expect(const std::vector<int64_t>& indices) const;
  /// The index where the tar is local; nullptr where knowing it may take a download.
  const TarIndex* local_index(std::size_t tar) const { return tars_[tar].local.get(); }
  /// Lines of classes.txt beside the first tar; empty where there is none.
  StatusOr<std::vector<std::string>> class_names() const;

 private:
  struct Tar {
    std::string name;
    std::string location;
    std::uint64_t size_bytes = 0;
    std::shared_ptr<const TarIndex> local;  ///< nullptr: on a server
  };
  Status add_local(const std::vector<std::string>& paths, const JobConfig& config);
  Status add_listed(const std::string& text, const JobConfig& config);

  std::vector<Tar> tars_;
  Segments samples_;
  std::unique_ptr<RemoteTars> remote_;  ///< nullptr: all are local
  mutable OpenFiles files_;
};

}  // namespace titan
