#include <algorithm>
#include <cctype>

#include "titan/io/tar_index.h"

namespace titan {
namespace {

struct SplitName {
  std::string key;
  std::string extension;
};

/// Empty for members that belong to no sample.
std::optional<SplitName> split_name(const std::string& name) {
  const std::size_t slash = name.rfind('/');
  const std::size_t base = slash == std::string::npos ? 0 : slash + 1;
  const std::string_view base_name = std::string_view(name).substr(base);
  if (base_name.starts_with('.') || base_name.starts_with("__")) return std::nullopt;
  const std::size_t dot = base_name.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  SplitName result{.key = name.substr(0, base + dot), .extension = name.substr(base + dot + 1)};
  std::transform(result.extension.begin(), result.extension.end(), result.extension.begin(),
                 [](unsigned char c) { return c < 0x80 ? std::tolower(c) : c; });
  return result;
}

}  // namespace

const TarField* TarSample::find(const std::string& extension) const {
  for (const TarField& field : fields)
    if (field.extension == extension) return &field;
  return nullptr;
}

std::vector<TarSample> group_samples(const TarScan& scan) {
  std::vector<TarSample> samples;
  const auto current = [&](const std::string& key) -> TarSample& {
    if (samples.empty() || samples.back().key != key) samples.push_back({.key = key, .fields = {}});
    return samples.back();
  };
  for (const TarMember& member : scan.members) {
    std::optional<SplitName> name = split_name(member.name);
    if (!name) continue;
    std::vector<TarField>& fields = current(name->key).fields;
    TarField field{std::move(name->extension), member.offset, member.size_bytes};
    const auto same = std::find_if(fields.begin(), fields.end(), [&](const TarField& other) {
      return other.extension == field.extension;
    });
    if (same != fields.end()) {
      *same = std::move(field);
    } else {
      fields.push_back(std::move(field));
    }
  }
  if (scan.damage.empty()) return samples;
  if (!scan.damaged_member.empty()) {
    if (const std::optional<SplitName> name = split_name(scan.damaged_member))
      current(name->key).damaged = true;
  } else if (!samples.empty()) {
    samples.back().damaged = true;  // more of its members may have stood behind the damage
  }
  return samples;
}

}  // namespace titan
