#include "titan/io/torch_names.h"

#include <array>
#include <string_view>

namespace titan {
namespace {

struct Row {
  std::string_view name;
  std::optional<TensorType> type;
};

constexpr std::array kStorages = {
    Row{"DoubleStorage", TensorType::kF64},   Row{"FloatStorage", TensorType::kF32},
    Row{"HalfStorage", TensorType::kF16},     Row{"BFloat16Storage", TensorType::kBF16},
    Row{"LongStorage", TensorType::kI64},     Row{"IntStorage", TensorType::kI32},
    Row{"ShortStorage", TensorType::kI16},    Row{"CharStorage", TensorType::kI8},
    Row{"ByteStorage", TensorType::kU8},      Row{"BoolStorage", TensorType::kBool},
    Row{"ComplexFloatStorage", std::nullopt}, Row{"ComplexDoubleStorage", std::nullopt},
    Row{"QInt8Storage", std::nullopt},        Row{"QUInt8Storage", std::nullopt},
    Row{"QInt32Storage", std::nullopt},       Row{"QUInt4x2Storage", std::nullopt},
    Row{"QUInt2x4Storage", std::nullopt},
};

constexpr std::array kDtypes = {
    Row{"float64", TensorType::kF64},
    Row{"double", TensorType::kF64},
    Row{"float32", TensorType::kF32},
    Row{"float", TensorType::kF32},
    Row{"float16", TensorType::kF16},
    Row{"half", TensorType::kF16},
    Row{"bfloat16", TensorType::kBF16},
    Row{"int64", TensorType::kI64},
    Row{"long", TensorType::kI64},
    Row{"int32", TensorType::kI32},
    Row{"int", TensorType::kI32},
    Row{"int16", TensorType::kI16},
    Row{"short", TensorType::kI16},
    Row{"int8", TensorType::kI8},
    Row{"uint64", TensorType::kU64},
    Row{"uint32", TensorType::kU32},
    Row{"uint16", TensorType::kU16},
    Row{"uint8", TensorType::kU8},
    Row{"bool", TensorType::kBool},
    Row{"float8_e4m3fn", TensorType::kF8E4M3},
    Row{"float8_e5m2", TensorType::kF8E5M2},
    Row{"complex32", std::nullopt},
    Row{"complex64", std::nullopt},
    Row{"complex128", std::nullopt},
    Row{"qint8", std::nullopt},
    Row{"quint8", std::nullopt},
    Row{"qint32", std::nullopt},
    Row{"float8_e4m3fnuz", std::nullopt},
    Row{"float8_e5m2fnuz", std::nullopt},
    Row{"float8_e8m0fnu", std::nullopt},
    Row{"float4_e2m1fn_x2", std::nullopt},
};

/// What follows `prefix`, empty where the name does not begin with it.
std::string_view after(std::string_view name, std::string_view prefix) {
  return name.starts_with(prefix) ? name.substr(prefix.size()) : std::string_view();
}

template <std::size_t N>
std::optional<TorchTypeName> find(const std::array<Row, N>& rows, std::string_view name) {
  for (const Row& row : rows)
    if (row.name == name) return TorchTypeName{.type = row.type};
  return std::nullopt;
}

}  // namespace

std::optional<TorchTypeName> torch_storage_class(const std::string& global) {
  for (const std::string_view prefix : {"torch.storage.", "torch.cuda.", "torch."}) {
    const std::string_view name = after(global, prefix);
    if (name == "UntypedStorage" || name == "_UntypedStorage")
      return TorchTypeName{.is_bytes = true};
    if (const auto found = find(kStorages, name)) return found;
  }
  return std::nullopt;
}

std::optional<TorchTypeName> torch_dtype(const std::string& global) {
  return find(kDtypes, after(global, "torch."));
}

}  // namespace titan
