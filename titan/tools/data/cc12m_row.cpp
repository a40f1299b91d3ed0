#include "titan/tools/data/cc12m_row.h"

#include <map>
#include <utility>
#include <variant>

#include <nlohmann/json.hpp>

#include "titan/io/image_resize.h"
#include "titan/io/json_nesting.h"

namespace titan::tools {
namespace {

using Json = nlohmann::json;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

ArrowValue value_of(const std::optional<std::string>& text) {
  if (!text) return std::monostate();
  return bytes_of(*text);
}

std::string type_of(const Json& value) {
  if (value.is_null()) return "null";
  if (value.is_boolean()) return "bool";
  if (value.is_number_integer()) return "int64";
  if (value.is_number()) return "float64";
  return "string";  // what is neither is kept as JSON
}

/// The type of a column that has held both.
std::string joined(const std::string& a, const std::string& b) {
  if (a == b || b == "null") return a;
  if (a == "null") return b;
  const auto is_number = [](const std::string& type) {
    return type == "int64" || type == "float64";
  };
  return is_number(a) && is_number(b) ? "float64" : "string";
}

StatusOr<Json> parse_object(const std::string& text) {
  if (nests_too_deep(text)) return data_loss("member json nests lists or objects too deep");
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return data_loss("member json is no JSON object");
  return json;
}

/// round((length - size) / 2), half to even: Python's rule.
int middle_offset(int length, int size) {
  const int rest = length - size;
  const int half = rest / 2;
  return rest % 2 == 0 ? half : half + half % 2;
}

}  // namespace

Image clean_image(const Image& image, int size) {
  const auto scaled = [&](int longer, int shorter) {
    return static_cast<int>(static_cast<int64_t>(size) * longer / shorter);
  };
  const ImageSize resized = image.width <= image.height
                                ? ImageSize{size, scaled(image.height, image.width)}
                                : ImageSize{scaled(image.width, image.height), size};
  return resize_window(
      image, resized,
      {middle_offset(resized.width, size), middle_offset(resized.height, size), size, size});
}

StatusOr<CleanColumns> CleanColumns::infer(const std::vector<ImageRow>& first_rows) {
  std::map<std::string, std::string> types;
  std::string image = "jpg";
  if (!first_rows.empty() && !first_rows[0].image_extension.empty())
    image = first_rows[0].image_extension;
  if (image == "png")
    return invalid_argument(
        "[clean-cc12m] the images are PNG files already: the cleaned picture would take the column "
        "of the same name");
  for (const ImageRow& row : first_rows) {
    if (!row.json) continue;
    StatusOr<Json> json = parse_object(*row.json);
    if (!json.ok()) return annotate(json.status(), row.name());
    for (const auto& [key, value] : json->items()) {
      const auto [known, is_new] = types.try_emplace(key, type_of(value));
      if (!is_new) known->second = joined(known->second, type_of(value));
    }
  }
  CleanColumns result;
  for (const auto& [key, type] : types) result.json_.push_back({key, type});
  result.columns_ = {{image, "image"}};
  if (!result.json_.empty()) result.columns_.push_back({"json", "struct", result.json_});
  for (const char* name : {"txt", "__key__", "__url__"})
    result.columns_.push_back({name, "string"});
  result.columns_.push_back({"png", "image"});
  return result;
}

Status CleanColumns::set_json(CleanRow& row) const {
  row.texts.assign(json_.size(), std::nullopt);
  row.json.assign(json_.size(), std::monostate());
  if (!row.row.json) return ok_status();
  TITAN_ASSIGN_OR_RETURN(const Json json, parse_object(*row.row.json));
  for (std::size_t i = 0; i < json_.size(); ++i) {
    const auto found = json.find(json_[i].name);
    if (found == json.end() || found->is_null()) continue;
    const std::string& type = json_[i].type;
    if (type == "string") {
      row.texts[i] = found->is_string() ? found->get<std::string>() : found->dump();
    } else if (type == "int64" && found->is_number_integer()) {
      row.json[i] = found->get<int64_t>();
    } else if (type == "float64" && found->is_number()) {
      row.json[i] = found->get<double>();
    } else if (type == "bool" && found->is_boolean()) {
      row.json[i] = static_cast<int64_t>(found->get<bool>());
    } else {
      ++row.dropped_values;
    }
  }
  return ok_status();
}

std::vector<ArrowValue> CleanColumns::values(const CleanRow& row) const {
  std::vector<ArrowValue> values = {value_of(row.row.image), bytes_of(row.image_path)};
  for (std::size_t i = 0; i < json_.size(); ++i)
    values.push_back(row.texts[i] ? value_of(row.texts[i]) : row.json[i]);
  values.push_back(value_of(row.row.txt));
  values.push_back(bytes_of(row.row.key));
  values.push_back(bytes_of(row.row.url));
  values.push_back(std::as_bytes(std::span(row.png)));
  values.push_back(std::monostate());
  return values;
}

}  // namespace titan::tools
