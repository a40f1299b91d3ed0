#include "titan/data/webdataset.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>

#include "titan/config/job_config.h"
#include "titan/data/builtin_datasets.h"
#include "titan/data/image_sample.h"
#include "titan/data/read_ahead.h"
#include "titan/data/sample_parts.h"
#include "titan/data/webdataset_fields.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxMemberBytes = 1ULL << 31;

/// "jpg, jpeg, png or webp".
std::string list_of(const std::vector<std::string>& words, const char* last) {
  std::string list;
  for (std::size_t i = 0; i < words.size(); ++i)
    list += str_cat(i == 0 ? "" : i + 1 == words.size() ? last : ", ", words[i]);
  return list;
}

std::string extensions_of(const TarSample& sample) {
  std::string list;
  for (const TarField& field : sample.fields) list += (list.empty() ? "" : ", ") + field.extension;
  return list;
}

class WebDataset : public Dataset, public ReadsAhead {
 public:
  WebDataset(std::shared_ptr<const TarSet> tars, WebDatasetRules rules)
      : tars_(std::move(tars)), rules_(std::move(rules)), size_(tars_->samples().total()) {
    if (rules_.max_samples > 0) size_ = std::min(size_, rules_.max_samples);
  }

  int64_t size() const override { return size_; }
  void expect(const std::vector<int64_t>& indices) const override { tars_->expect(indices); }

  StatusOr<Sample> read(int64_t index, const DrawKey& key) const override {
    const auto [number, row] = tars_->samples().find(index);
    const StatusOr<OpenTar> tar = tars_->read(number);
    if (!tar.ok()) return annotate(tar.status(), unopened_name(number, row));
    const TarSample stored = tar->index->sample(row);
    StatusOr<Sample> sample = decode(*tar, stored, index, key);
    if (!sample.ok()) return annotate(sample.status(), name_of(*tar->index, stored));
    return sample;
  }

  std::string describe(int64_t index) const override {
    const auto [number, row] = tars_->samples().find(index);
    const TarIndex* tar = tars_->local_index(number);
    return tar == nullptr ? unopened_name(number, row) : name_of(*tar, tar->sample(row));
  }

  std::optional<int64_t> label_of(int64_t index) const override {
    const auto [number, row] = tars_->samples().find(index);
    const StatusOr<OpenTar> tar = tars_->read(number);
    if (!tar.ok()) return std::nullopt;
    const StatusOr<TextFields> fields = text_fields(*tar, tar->index->sample(row));
    return fields.ok() ? fields->label : std::nullopt;
  }

  int64_t num_classes() const override { return rules_.num_classes; }
  std::vector<std::string> class_names() const override { return rules_.class_names; }

  std::string fingerprint() const override {
    Fingerprint fingerprint;
    for (std::size_t tar = 0; tar < tars_->size(); ++tar)
      fingerprint.add(tars_->name(tar), " ", tars_->size_bytes(tar), " ",
                      tars_->samples().count(tar));
    return fingerprint.hex();
  }

 private:
  /// Of a sample in a tar that is not here: "shapes-0001.tar sample 17".
  std::string unopened_name(std::size_t tar, int64_t row) const {
    return str_cat(tars_->name(tar), " sample ", row);
  }

  const TarField* picture_of(const TarSample& sample) const {
    for (const std::string& extension : rules_.picture_extensions)
      if (const TarField* field = sample.find(extension)) return field;
    return nullptr;
  }

  /// "shapes-0001.tar:000123.jpg"
  std::string name_of(const TarIndex& tar, const TarSample& sample) const {
    const TarField* image = picture_of(sample);
    return str_cat(fs::path(tar.path()).filename().string(), ":", sample.key,
                   image == nullptr ? "" : "." + image->extension);
  }

  static StatusOr<std::string> contents(const OpenTar& tar, const TarField& field) {
    if (field.size_bytes > kMaxMemberBytes)
      return data_loss("member ", field.extension, " is too large (", field.size_bytes, " bytes)");
    std::string bytes(field.size_bytes, '\0');
    TITAN_RETURN_IF_ERROR(
        read_exactly(*tar.file, field.offset, bytes.data(), bytes.size(), tar.index->data_path()));
    return bytes;
  }

  StatusOr<TextFields> text_fields(const OpenTar& tar, const TarSample& sample) const {
    TextMembers members;
    const auto load = [&](const std::string& extension,
                          std::optional<std::string>& into) -> Status {
      const TarField* field = sample.find(extension);
      if (field == nullptr) return ok_status();
      TITAN_ASSIGN_OR_RETURN(into, contents(tar, *field));
      return ok_status();
    };
    TITAN_RETURN_IF_ERROR(load("txt", members.txt));
    TITAN_RETURN_IF_ERROR(load("json", members.json));
    TITAN_RETURN_IF_ERROR(load(rules_.label_field, members.label));
    TITAN_ASSIGN_OR_RETURN(TextFields fields, decode_text_members(members, rules_.label_field));
    if (rules_.is_coco) TITAN_RETURN_IF_ERROR(decode_coco_json(members.json, fields));
    return fields;
  }

  StatusOr<Sample> decode(const OpenTar& tar, const TarSample& stored, int64_t index,
                          const DrawKey& key) const {
    if (stored.damaged) return data_loss(tar.index->damage());
    const TarField* picture = picture_of(stored);
    if (picture == nullptr)
      return data_loss("no ", list_of(rules_.picture_extensions, " or "),
                       " member (the sample has: ", extensions_of(stored), ")");
    TITAN_ASSIGN_OR_RETURN(TextFields text, text_fields(tar, stored));
    if (rules_.needs_caption && !text.caption)
      return data_loss(
          "no caption: neither a txt member nor a json key 'caption' (the sample has: ",
          extensions_of(stored), ")");
    ImageFacts facts{.key = text.id.value_or(stored.key),
                     .caption = std::move(text.caption).value_or(""),
                     .label = {},
                     .timestep = text.timestep};
    if (rules_.num_classes > 0) {
      if (!text.label)
        return data_loss("no class: neither a member nor a json key '", rules_.label_field, "'");
      TITAN_RETURN_IF_ERROR(check_label(*text.label, rules_.num_classes));
      facts.label = text.label;
    }
    TITAN_ASSIGN_OR_RETURN(const std::string bytes, contents(tar, *picture));
    return image_sample(bytes, std::move(facts), rules_.image, index, key);
  }

  std::shared_ptr<const TarSet> tars_;
  WebDatasetRules rules_;
  int64_t size_;
};

}  // namespace

std::unique_ptr<Dataset> make_webdataset(std::shared_ptr<const TarSet> tars,
                                         WebDatasetRules rules) {
  return std::make_unique<WebDataset>(std::move(tars), std::move(rules));
}

StatusOr<std::unique_ptr<Dataset>> open_webdataset(const JobConfig& config) {
  TITAN_ASSIGN_OR_RETURN(std::shared_ptr<const TarSet> tars, TarSet::open(config));
  WebDatasetRules rules;
  rules.image = training_image_options(config);
  rules.label_field = config.dataset.label_field;
  TITAN_ASSIGN_OR_RETURN(rules.class_names, tars->class_names());
  rules.num_classes = config.dataset.num_classes > 0
                          ? config.dataset.num_classes
                          : static_cast<int64_t>(rules.class_names.size());
  if (rules.num_classes == 0) {
    TITAN_ASSIGN_OR_RETURN(const OpenTar first, tars->read(tars->samples().find(0).segment));
    if (first.index->sample(0).find(rules.label_field) != nullptr)
      return invalid_argument(
          "[webdataset] samples have a class (member ", rules.label_field,
          ") but their number is unknown: set dataset.num_classes, or put class names into "
          "classes.txt beside the tars");
  }
  return make_webdataset(std::move(tars), std::move(rules));
}

}  // namespace titan
