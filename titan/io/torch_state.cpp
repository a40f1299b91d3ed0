#include "titan/io/torch_state.h"

#include <array>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "titan/base/printable.h"
#include "titan/io/torch_names.h"

namespace titan {
namespace {

using pickle::Kind;
using pickle::Pickle;
using pickle::Ref;
using pickle::Use;
using pickle::Value;

constexpr std::size_t kMostDimensions = 64;

Status malformed(const std::string& what) { return data_loss(what); }

StatusOr<std::uint64_t> count_at(const Pickle& pickle, Ref ref) {
  const Value& value = pickle[ref];
  if (value.kind != Kind::kInt || value.number < 0)
    return malformed("a size or an offset is no number, or negative");
  return static_cast<std::uint64_t>(value.number);
}

StatusOr<TorchStorage> storage_at(const Pickle& pickle, Ref ref) {
  if (pickle[ref].kind != Kind::kPersistent) return malformed("no storage where one belongs");
  const Value& id = pickle[pickle[ref].items[0]];
  const auto is = [&](std::size_t i, Kind kind) { return pickle[id.items[i]].kind == kind; };
  if (id.kind != Kind::kTuple || id.items.size() < 5 || !is(0, Kind::kText) ||
      pickle[id.items[0]].text != "storage" || !is(1, Kind::kGlobal) || !is(2, Kind::kText))
    return malformed("a storage that is not described as PyTorch does");
  const std::string& name = pickle[id.items[1]].text;
  const auto type = torch_storage_class(name);
  if (!type) return malformed(str_cat("a storage of ", printable(name)));
  if (!type->type && !type->is_bytes)
    return invalid_argument("tensors of this type are not read: ", printable(name));
  TorchStorage storage{.key = pickle[id.items[2]].text, .type = type->type};
  TITAN_ASSIGN_OR_RETURN(storage.count, count_at(pickle, id.items[4]));
  if (id.items.size() > 5 && !is(5, Kind::kNone)) {
    const Value& view = pickle[id.items[5]];
    if (view.kind != Kind::kTuple || view.items.size() != 3)
      return malformed("a view of a storage that is not described as PyTorch does");
    TITAN_ASSIGN_OR_RETURN(storage.view_offset, count_at(pickle, view.items[1]));
  }
  return storage;
}

StatusOr<std::vector<int64_t>> sizes_at(const Pickle& pickle, Ref ref) {
  const Value& value = pickle[ref];
  if (value.kind != Kind::kTuple || value.items.size() > kMostDimensions)
    return malformed("a shape that is none");
  std::vector<int64_t> sizes;
  for (const Ref item : value.items) {
    TITAN_ASSIGN_OR_RETURN(const std::uint64_t size, count_at(pickle, item));
    sizes.push_back(static_cast<int64_t>(size));
  }
  return sizes;
}

/// Fills count and is_contiguous; an error where an element lies outside the storage.
Status check_extent(TorchTensor& tensor) {
  if (tensor.shape.size() != tensor.strides.size())
    return malformed("a shape and strides of different lengths");
  constexpr std::uint64_t kMostRepeatedBytes = 16 << 20;  // expanded tensors are small ones
  std::uint64_t last = 0, packed = 1;
  bool overflow = __builtin_add_overflow(tensor.first, tensor.storage.view_offset, &last);
  tensor.is_contiguous = true;
  for (std::size_t d = tensor.shape.size(); d-- > 0;) {
    const auto size = static_cast<std::uint64_t>(tensor.shape[d]);
    const auto stride = static_cast<std::uint64_t>(tensor.strides[d]);
    if (size != 1 && stride != packed) tensor.is_contiguous = false;
    std::uint64_t reach = 0;
    if (size > 0) overflow |= __builtin_mul_overflow(size - 1, stride, &reach);
    overflow |= __builtin_add_overflow(last, reach, &last);
    overflow |= __builtin_mul_overflow(packed, size, &packed);
  }
  tensor.count = packed;
  std::uint64_t bytes = 0;
  const std::uint64_t element = element_size(tensor.type);
  overflow |= __builtin_mul_overflow(packed, element, &bytes);
  if (overflow || bytes > INT64_MAX) return malformed("a shape that overflows");
  const std::uint64_t held =
      tensor.storage.type ? tensor.storage.count : tensor.storage.count / element;
  if (packed == 0) {
    tensor.is_contiguous = true;
  } else if (last >= held) {
    return malformed("it leaves its storage");
  } else if (packed > held && bytes > kMostRepeatedBytes) {
    return malformed(str_cat("it repeats few values in ", bytes, " bytes"));
  }
  return ok_status();
}

/// Truth of "conj" or "neg": the values would have to be changed while they are read.
bool asks_for_changes(const Pickle& pickle, Ref ref) {
  const Value& metadata = pickle[ref];
  if (metadata.kind != Kind::kDict) return false;
  for (std::size_t i = 1; i < metadata.items.size(); i += 2)
    if (pickle[metadata.items[i]].kind == Kind::kBool && pickle[metadata.items[i]].number != 0)
      return true;
  return false;
}

/// The arguments of the functions torch._utils._rebuild_tensor, _v2 and _v3.
StatusOr<TorchTensor> tensor_of_call(const Pickle& pickle, const std::string& function,
                                     const std::vector<Ref>& arguments) {
  const bool names_type = function.ends_with("_v3");
  const std::size_t fewest = names_type ? 7 : 4;
  if (arguments.size() < fewest) return malformed("a tensor with too few arguments");
  TorchTensor tensor;
  TITAN_ASSIGN_OR_RETURN(tensor.storage, storage_at(pickle, arguments[0]));
  TITAN_ASSIGN_OR_RETURN(tensor.first, count_at(pickle, arguments[1]));
  TITAN_ASSIGN_OR_RETURN(tensor.shape, sizes_at(pickle, arguments[2]));
  TITAN_ASSIGN_OR_RETURN(tensor.strides, sizes_at(pickle, arguments[3]));
  std::optional<TensorType> type = tensor.storage.type;
  if (names_type) {
    const Value& dtype = pickle[arguments[6]];
    const auto named = dtype.kind == Kind::kGlobal ? torch_dtype(dtype.text) : std::nullopt;
    if (!named) return malformed("a data type that is none");
    if (!named->type)
      return invalid_argument("tensors of this type are not read: ", printable(dtype.text));
    type = named->type;
    if (tensor.storage.type && tensor.storage.type != type)
      return malformed("a storage of another type than the tensor's");
  }
  if (!type) return malformed("a tensor without a data type");
  tensor.type = *type;
  const std::size_t metadata = names_type ? 7 : 6;
  if (arguments.size() > metadata && asks_for_changes(pickle, arguments[metadata]))
    return invalid_argument("conjugated or negated views are not read; save tensor.clone()");
  TITAN_RETURN_IF_ERROR(check_extent(tensor));
  return tensor;
}

bool is_call_of(const Pickle& pickle, Ref ref, std::string_view begin) {
  const Value& value = pickle[ref];
  return value.kind == Kind::kCall && pickle[value.items[0]].text.starts_with(begin);
}

/// A parameter is its tensor.
Ref unwrapped(const Pickle& pickle, Ref ref) {
  for (int depth = 0; depth < 4 && is_call_of(pickle, ref, "torch._utils._rebuild_parameter");
       ++depth) {
    const Value& arguments = pickle[pickle[ref].items[1]];
    if (arguments.items.empty()) break;
    ref = arguments.items[0];
  }
  return ref;
}

StatusOr<std::vector<TorchTensor>> tensors_of_dict(const Pickle& pickle, const Value& dict) {
  std::vector<TorchTensor> tensors;
  std::set<std::string> names;
  for (std::size_t i = 0; i < dict.items.size(); i += 2) {
    const Ref ref = unwrapped(pickle, dict.items[i + 1]);
    if (pickle[ref].kind != Kind::kCall) continue;
    const Value& key = pickle[dict.items[i]];
    if (key.kind != Kind::kText) return malformed("a tensor whose name is no text");
    const std::string& function = pickle[pickle[ref].items[0]].text;
    StatusOr<TorchTensor> tensor =
        is_call_of(pickle, ref, "torch._utils._rebuild_tensor")
            ? tensor_of_call(pickle, function, pickle[pickle[ref].items[1]].items)
            : StatusOr<TorchTensor>(malformed("a parameter without a tensor"));
    if (!tensor.ok()) return annotate(tensor.status(), "tensor " + printable(key.text));
    tensor->name = key.text;
    if (!names.insert(key.text).second)
      return malformed(str_cat("tensor ", printable(key.text), " appears twice"));
    tensors.push_back(std::move(*tensor));
  }
  return tensors;
}

constexpr std::array<std::string_view, 6> kInner = {"state_dict", "model_state_dict", "model",
                                                    "module",     "params",           "weights"};

/// The dictionary under one of the known keys, or nullptr.
const Value* inner_dict(const Pickle& pickle, const Value& dict) {
  for (const std::string_view wanted : kInner)
    for (std::size_t i = 0; i < dict.items.size(); i += 2)
      if (pickle[dict.items[i]].kind == Kind::kText && pickle[dict.items[i]].text == wanted &&
          pickle[dict.items[i + 1]].kind == Kind::kDict)
        return &pickle[dict.items[i + 1]];
  return nullptr;
}

std::vector<std::string> keys_of(const Pickle& pickle, const Value& dict) {
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < dict.items.size(); i += 2)
    if (pickle[dict.items[i]].kind == Kind::kText) keys.push_back(pickle[dict.items[i]].text);
  return keys;
}

}  // namespace

Use use_in_torch_file(const std::string& global) {
  if (global == "collections.OrderedDict") return Use::kDict;
  if (global == "torch.Size") return Use::kCopy;
  for (const char* function : {"torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2",
                               "torch._utils._rebuild_tensor_v3", "torch._utils._rebuild_parameter",
                               "torch._utils._rebuild_parameter_with_state"})
    if (global == function) return Use::kCall;
  const bool is_type = torch_storage_class(global).has_value() || torch_dtype(global).has_value();
  return is_type ? Use::kName : Use::kRefused;
}

StatusOr<std::vector<TorchTensor>> tensors_of_pickle(const Pickle& pickle) {
  constexpr int kDeepest = 8;
  const Value* dict = &pickle[pickle.root];
  if (dict->kind != Kind::kDict)
    return invalid_argument("it holds no dictionary of tensors by name (save a state_dict)");
  for (int depth = 0; const Value* inner = inner_dict(pickle, *dict); ++depth) {
    if (depth == kDeepest) return malformed("dictionaries too deep in each other");
    dict = inner;
  }
  TITAN_ASSIGN_OR_RETURN(std::vector<TorchTensor> tensors, tensors_of_dict(pickle, *dict));
  if (!tensors.empty()) return tensors;
  const std::vector<std::string> keys = keys_of(pickle, *dict);
  return invalid_argument(
      "it holds no tensors by name", keys.empty() ? "" : ", but ", listed(keys),
      "; a state dict is looked for at the top and under state_dict, model_state_dict, model, "
      "module, params and weights");
}

StatusOr<std::vector<TorchStorage>> storages_of_pickle(const Pickle& pickle) {
  std::map<std::string, TorchStorage> by_key;
  for (Ref ref = 0; ref < pickle.values.size(); ++ref) {
    if (pickle[ref].kind != Kind::kPersistent) continue;
    TITAN_ASSIGN_OR_RETURN(TorchStorage storage, storage_at(pickle, ref));
    const auto [place, is_new] = by_key.try_emplace(storage.key, storage);
    if (!is_new && (place->second.type != storage.type || place->second.count != storage.count))
      return malformed(str_cat("storage ", printable(storage.key), " is described in two ways"));
  }
  std::vector<TorchStorage> storages;
  for (auto& [key, storage] : by_key) storages.push_back(std::move(storage));
  return storages;
}

}  // namespace titan
