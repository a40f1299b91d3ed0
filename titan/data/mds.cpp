// MosaicML's streaming shards (MDS) of pictures with captions.
#include <array>
#include <utility>

#include "titan/config/job_config.h"
#include "titan/data/builtin_datasets.h"
#include "titan/data/image_sample.h"
#include "titan/data/mds_set.h"
#include "titan/data/mds_values.h"
#include "titan/data/read_ahead.h"
#include "titan/data/sample_parts.h"

namespace titan {
namespace {

/// Indices of the columns in one shard; -1: absent.
struct Columns {
  int picture = -1;
  int caption = -1;
  int key = -1;
  int timestep = -1;
};

std::string names_of(const std::vector<MdsColumn>& columns) {
  std::string names;
  for (const MdsColumn& column : columns)
    names += str_cat(names.empty() ? "" : ", ", column.name, " (", column.encoding, ")");
  return names;
}

using EncodingTest = bool (*)(const std::string& encoding);

/// The first of `names` whose encoding fits; -1 where there is none.
template <std::size_t N>
int find_column(const std::vector<MdsColumn>& columns, const std::array<const char*, N>& names,
                EncodingTest fits) {
  for (const char* name : names)
    for (std::size_t i = 0; i < columns.size(); ++i)
      if (columns[i].name == name && fits(columns[i].encoding)) return static_cast<int>(i);
  return -1;
}

/// The only column whose encoding fits; -1 where there is none or several.
int only_column(const std::vector<MdsColumn>& columns, EncodingTest fits) {
  int found = -1;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (!fits(columns[i].encoding)) continue;
    if (found >= 0) return -1;
    found = static_cast<int>(i);
  }
  return found;
}

StatusOr<Columns> find_columns(const MdsShardInfo& shard) {
  constexpr std::array kPictures = {"image", "png", "jpg", "jpeg", "webp", "img"};
  constexpr std::array kCaptions = {"caption", "txt", "text", "prompt"};
  constexpr std::array kKeys = {"__key__", "key", "id"};
  constexpr std::array kTimesteps = {"timestep"};
  const auto refuse = [&](const char* what) {
    return invalid_argument("[mds] ", shard.raw_name, " has no column of ", what,
                            "; its columns: ", names_of(shard.columns));
  };
  Columns out;
  out.picture = find_column(shard.columns, kPictures, is_mds_picture);
  if (out.picture < 0) out.picture = only_column(shard.columns, is_mds_encoded_picture);
  if (out.picture < 0)
    return refuse("images (image, png, jpg, jpeg, webp or img of bytes, jpeg, png or pil)");
  out.caption = find_column(shard.columns, kCaptions, is_mds_text);
  if (out.caption < 0) out.caption = find_column(shard.columns, std::array{"json"}, is_mds_json);
  if (out.caption < 0) return refuse("captions (caption, txt, text or prompt of str, or json)");
  out.key = find_column(shard.columns, kKeys, is_mds_key);
  out.timestep = find_column(shard.columns, kTimesteps, is_mds_integer);
  return out;
}

class MdsDataset : public Dataset, public ReadsAhead {
 public:
  MdsDataset(std::unique_ptr<MdsSet> set, std::vector<Columns> columns,
             const TrainingImageOptions& options)
      : set_(std::move(set)), columns_(std::move(columns)), options_(options) {}

  int64_t size() const override { return set_->samples().total(); }
  void expect(const std::vector<int64_t>& indices) const override { set_->expect(indices); }
  std::string describe(int64_t index) const override {
    const auto [shard, row] = set_->samples().find(index);
    return str_cat(set_->shards()[shard].raw_name, ":", row);
  }

  StatusOr<Sample> read(int64_t index, const DrawKey& key) const override {
    const auto [at, row] = set_->samples().find(index);
    TITAN_ASSIGN_OR_RETURN(const std::shared_ptr<const MdsShard> shard, set_->open(at));
    StatusOr<Sample> sample =
        decode(*shard, set_->shards()[at].columns, columns_[at], row, index, key);
    if (!sample.ok()) return annotate(sample.status(), describe(index));
    return sample;
  }

  std::string fingerprint() const override {
    Fingerprint fingerprint;
    for (const MdsShardInfo& shard : set_->shards())
      fingerprint.add(shard.raw_name, " ", shard.raw_bytes, " ", shard.num_samples);
    return fingerprint.hex();
  }

 private:
  StatusOr<Sample> decode(const MdsShard& shard, const std::vector<MdsColumn>& encodings,
                          const Columns& columns, int64_t row, int64_t index,
                          const DrawKey& key) const {
    TITAN_ASSIGN_OR_RETURN(const MdsValues values, shard.values(row));
    const auto value = [&](int column) {
      const auto i = static_cast<std::size_t>(column);
      return MdsValue{encodings[i], values[i]};
    };
    ImageFacts facts;
    TITAN_ASSIGN_OR_RETURN(facts.caption, mds_caption(value(columns.caption)));
    facts.key = describe(index);
    if (columns.key >= 0) {
      TITAN_ASSIGN_OR_RETURN(facts.key, mds_key(value(columns.key)));
    }
    if (columns.timestep >= 0) {
      TITAN_ASSIGN_OR_RETURN(facts.timestep, mds_integer(value(columns.timestep)));
    }
    const MdsValue picture = value(columns.picture);
    if (picture.column.encoding != "pil")
      return image_sample(text_view(picture.bytes), std::move(facts), options_, index, key);
    TITAN_ASSIGN_OR_RETURN(Image image, mds_pil_image(picture.bytes, options_.limits));
    return image_sample(std::move(image), std::move(facts), options_, index, key);
  }

  std::unique_ptr<MdsSet> set_;
  std::vector<Columns> columns_;
  TrainingImageOptions options_;
};

}  // namespace

StatusOr<std::unique_ptr<Dataset>> open_mds(const JobConfig& config) {
  TITAN_ASSIGN_OR_RETURN(std::unique_ptr<MdsSet> set, MdsSet::open(config));
  std::vector<Columns> columns;
  for (const MdsShardInfo& shard : set->shards()) {
    TITAN_ASSIGN_OR_RETURN(columns.emplace_back(), find_columns(shard));
  }
  return std::make_unique<MdsDataset>(std::move(set), std::move(columns),
                                      training_image_options(config));
}

}  // namespace titan
