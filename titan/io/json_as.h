// json_as.h: values of JSON files that hold what they say or are refused.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace titan {

namespace internal {
template <class T>
inline constexpr bool is_integer = std::is_integral_v<T> && !std::is_same_v<T, bool>;
template <class T>
inline constexpr bool is_integer_list = false;
template <class T>
inline constexpr bool is_integer_list<std::vector<T>> = is_integer<T>;
}  // namespace internal

/// `json` as a T; throws nlohmann::json::type_error where it is none. The library's own get() takes
/// any number for an integer: 1.5 is cut to 1, and what 6e31 or -1 become is undefined or another
/// number. Here an integer is one that T can hold, also in a std::vector of them.
template <class T, class Json>
T json_as(const Json& json) {
  if constexpr (internal::is_integer<T>) {
    if (json.is_number_unsigned()) {
      const auto value = json.template get<std::uint64_t>();
      if (std::in_range<T>(value)) return static_cast<T>(value);
    } else if (json.is_number_integer()) {
      const auto value = json.template get<std::int64_t>();
      if (std::in_range<T>(value)) return static_cast<T>(value);
    }
    throw Json::type_error::create(302, "no integer, or too large: " + json.dump(), &json);
  } else if constexpr (internal::is_integer_list<T>) {
    if (!json.is_array())
      throw Json::type_error::create(302, "no list: " + std::string(json.type_name()), &json);
    T values;
    for (const Json& value : json) values.push_back(json_as<typename T::value_type>(value));
    return values;
  } else {
    return json.template get<T>();
  }
}

/// The same, into `value`.
template <class T, class Json>
void json_to(const Json& json, T& value) {
  value = json_as<T>(json);
}

}  // namespace titan
