#include "titan/data/row_shard.h"

#include <ATen/ops/empty.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <utility>

#include "titan/data/row_shards.h"
#include "titan/data/text_coding.h"

namespace titan {
namespace {

/// [begin, begin + bytes) within `of`, without overflow.
bool lies_within(int64_t begin, int64_t bytes, std::uint64_t of) {
  return begin >= 0 && bytes >= 0 && static_cast<std::uint64_t>(begin) <= of &&
         static_cast<std::uint64_t>(bytes) <= of - static_cast<std::uint64_t>(begin);
}

}  // namespace

StatusOr<const TensorEntry*> RowShard::expect(const char* name, TensorType type,
                                              const std::vector<int64_t>& shape) const {
  const TensorEntry* entry = file_->find(name);
  if (entry == nullptr) return data_loss("no tensor '", name, "'");
  if (entry->type != type || entry->shape != shape)
    return data_loss("tensor '", name, "' is ", name_of(entry->type), " ", shape_text(entry->shape),
                     ", not ", name_of(type), " ", shape_text(shape));
  return entry;
}

StatusOr<RowShard> RowShard::open(const std::string& path, int64_t num_rows,
                                  const EncodedShapes& shapes, int version) {
  RowShard shard;
  TITAN_ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::open(path));
  shard.file_ = std::make_shared<const SafetensorsFile>(std::move(file));
  shard.name_ = std::filesystem::path(path).filename().string();
  shard.num_rows_ = num_rows;
  TITAN_RETURN_IF_ERROR(version == kRowShardsVersion ? shard.open_plain(shapes)
                                                     : shard.open_coded());
  TITAN_ASSIGN_OR_RETURN(const TensorEntry* timesteps,
                         shard.expect("timesteps", TensorType::kI32, {num_rows}));
  TITAN_ASSIGN_OR_RETURN(const TensorEntry* key_ends,
                         shard.expect("key_ends", TensorType::kI64, {num_rows}));
  shard.keys_ = shard.file_->find("keys");
  if (shard.keys_ == nullptr) return data_loss("no tensor 'keys'");
  shard.timesteps_ = timesteps->data;
  shard.key_ends_ = key_ends->data;
  return shard;
}

Status RowShard::open_plain(const EncodedShapes& shapes) {
  TITAN_ASSIGN_OR_RETURN(
      const TensorEntry* rows,
      expect("rows", TensorType::kU8, {num_rows_, static_cast<int64_t>(row_stride(shapes))}));
  rows_ = rows->data;
  return ok_status();
}

Status RowShard::open_coded() {
  data_ = file_->find("data");
  if (data_ == nullptr || data_->type != TensorType::kU8) return data_loss("no bytes 'data'");
  TITAN_ASSIGN_OR_RETURN(const TensorEntry* places,
                         expect("places", TensorType::kI64, {num_rows_, 3}));
  places_ = places->data;
  return ok_status();
}

Status RowShard::populate(const std::byte* from, std::size_t bytes) const {
  return file_->file().populate(static_cast<std::size_t>(from - file_->file().data()), bytes);
}

StatusOr<EncodedRow> RowShard::read(int64_t row, const EncodedShapes& shapes) const {
  EncodedRow out;
  TITAN_ASSIGN_OR_RETURN(static_cast<EncodedTag&>(out), tag(row));
  out.shapes = shapes;
  TITAN_RETURN_IF_ERROR(rows_ != nullptr ? read_plain(row, out) : read_coded(row, out));
  return out;
}

Status RowShard::read_plain(int64_t row, EncodedRow& out) const {
  const std::size_t stride = row_stride(out.shapes);
  const std::byte* record = rows_ + static_cast<std::size_t>(row) * stride;
  TITAN_RETURN_IF_ERROR(populate(record, stride));
  for (std::size_t field = 0; field < kNumEncodedFields; ++field) {
    const std::size_t bytes = encoded_bytes(out.shapes[field]);
    out.values[field] = {record, bytes};
    record += bytes;
  }
  return ok_status();
}

Status RowShard::read_coded(int64_t row, EncodedRow& out) const {
  std::array<int64_t, 3> place = {};
  std::memcpy(place.data(), places_ + row * 24, sizeof place);
  const auto [text, text_bytes, image] = place;
  std::array<std::size_t, kNumEncodedFields> bytes = {};
  for (std::size_t field = 0; field < kNumEncodedFields; ++field)
    bytes[field] = encoded_bytes(out.shapes[field]);
  const auto image_bytes = static_cast<int64_t>(bytes[2] + bytes[3]);
  const auto clip_bytes = static_cast<int64_t>(bytes[1]);
  if (!lies_within(text, text_bytes, data_->size_bytes) || text_bytes <= clip_bytes ||
      text_bytes > static_cast<int64_t>(bytes[0] + bytes[1]) ||
      !lies_within(image, image_bytes, data_->size_bytes))
    return data_loss("values out of range (text ", text, " + ", text_bytes, ", latents ", image,
                     " + ", image_bytes, ", of ", data_->size_bytes, " bytes)");
  const std::byte* t5 = data_->data + text;
  const std::byte* latents = data_->data + image;
  TITAN_RETURN_IF_ERROR(populate(t5, static_cast<std::size_t>(text_bytes)));
  TITAN_RETURN_IF_ERROR(populate(latents, static_cast<std::size_t>(image_bytes)));
  const auto t5_bytes = static_cast<std::size_t>(text_bytes - clip_bytes);
  out.values[0] = {t5, t5_bytes};
  out.values[1] = {t5 + t5_bytes, bytes[1]};
  out.values[2] = {latents, bytes[2]};
  out.values[3] = {latents + bytes[2], bytes[3]};
  if (t5_bytes == bytes[0]) return ok_status();
  // From LibTorch's allocator, which keeps such blocks; fresh pages would cost more than decoding.
  const auto decoded =
      std::make_shared<const at::Tensor>(at::empty({static_cast<int64_t>(bytes[0])}, at::kByte));
  const std::span<std::byte> whole(static_cast<std::byte*>(decoded->mutable_data_ptr()), bytes[0]);
  TITAN_RETURN_IF_ERROR(
      decode_text(out.values[0], static_cast<std::size_t>(out.shapes[0].back()), whole));
  out.values[0] = whole;
  out.keep.push_back(decoded);
  return ok_status();
}

StatusOr<EncodedTag> RowShard::tag(int64_t row) const {
  EncodedTag out;
  std::int32_t timestep = 0;
  std::memcpy(&timestep, timesteps_ + row * 4, sizeof timestep);
  if (timestep != kNoTimestep) out.timestep = timestep;
  int64_t range[2] = {0, 0};
  if (row == 0)
    std::memcpy(&range[1], key_ends_, 8);
  else
    std::memcpy(range, key_ends_ + (row - 1) * 8, 16);
  if (range[0] < 0 || range[1] < range[0] ||
      static_cast<std::uint64_t>(range[1]) > keys_->size_bytes)
    return data_loss("key out of range (", range[0], " to ", range[1], " of ", keys_->size_bytes,
                     ")");
  out.key = {reinterpret_cast<const char*>(keys_->data) + range[0],
             static_cast<std::size_t>(range[1] - range[0])};
  return out;
}

}  // namespace titan
