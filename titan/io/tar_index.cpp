#include "titan/io/tar_index.h"

#include <cstring>
#include <filesystem>
#include <unordered_map>
#include <utility>

#include "titan/base/hash.h"
#include "titan/base/log.h"
#include "titan/io/atomic_file.h"
#include "titan/io/cache_folder.h"
#include "titan/io/tar_unpack.h"

namespace titan {
namespace fs = std::filesystem;

/// The index file: this header, sample records, field records, text. Little-endian, records 8-byte
/// aligned.
struct TarIndexFile {
  static constexpr std::uint64_t kMagic = 0x3178646952615474ULL;  // "tTaRidx1"

  struct Header {
    std::uint64_t magic = kMagic;
    char body_hash[32] = {};        ///< XXH3-128 of what follows the header, hex digits
    std::uint64_t source_hash = 0;  ///< XXH3-64 of path, size, modification time of the tar
    std::uint64_t source_bytes = 0;
    std::uint64_t num_samples = 0;
    std::uint64_t num_fields = 0;
    std::uint64_t text_bytes = 0;
    std::uint64_t damage_bytes = 0;  ///< the message stands first in the text
  };
  struct SampleRecord {
    std::uint64_t key_offset = 0;
    std::uint64_t first_field = 0;
    std::uint32_t key_bytes = 0;
    std::uint32_t damaged = 0;
  };
  struct FieldRecord {
    std::uint64_t offset = 0;
    std::uint64_t size_bytes = 0;
    std::uint64_t extension_offset = 0;
    std::uint64_t extension_bytes = 0;
  };

  static std::string render(const TarScan& scan, const std::string& source,
                            std::uint64_t source_bytes);
  static bool fits(const char* data, std::size_t size, const std::string& source);
  static StatusOr<TarIndex> load(const std::string& index_path, const std::string& source);

  /// Copies a record out of the file, checked: a mapped file is input like any other.
  template <class Record>
  static Record record(const TarIndex& index, std::uint64_t offset) {
    Record result;
    TITAN_CHECK(offset <= index.size() && sizeof(Record) <= index.size() - offset,
                "[tar] the index of ", index.path(), " is broken: remove it");
    std::memcpy(&result, index.data() + offset, sizeof(Record));
    return result;
  }
  static Header header(const TarIndex& index) { return record<Header>(index, 0); }
  static std::uint64_t samples_at() { return sizeof(Header); }
  static std::uint64_t fields_at(const Header& h) {
    return samples_at() + h.num_samples * sizeof(SampleRecord);
  }
  static std::uint64_t text_at(const Header& h) {
    return fields_at(h) + h.num_fields * sizeof(FieldRecord);
  }
  static std::string text(const TarIndex& index, const Header& h, std::uint64_t offset,
                          std::uint64_t bytes) {
    TITAN_CHECK(offset <= h.text_bytes && bytes <= h.text_bytes - offset, "[tar] the index of ",
                index.path(), " is broken: remove it");
    return {index.data() + text_at(h) + offset, bytes};
  }
};

namespace {

template <class Record>
void append(std::string& out, const Record& record) {
  out.append(reinterpret_cast<const char*>(&record), sizeof(Record));
}

/// Changes with the path, size or modification time of the tar.
StatusOr<std::string> source_of(const std::string& path, FileStamp* stamp) {
  TITAN_ASSIGN_OR_RETURN(*stamp, file_stamp(path));
  std::error_code error;
  const fs::path absolute = fs::weakly_canonical(path, error);
  return str_cat(error ? path : absolute.string(), "\n", stamp->size_bytes, "\n",
                 stamp->modified_ns);
}

std::string cache_name(const std::string& source, const char* extension) {
  return str_cat(xxh3_128_hex(source.data(), source.size()), extension);
}

std::string beside(const std::string& path) {
  const fs::path file(path);
  return (file.parent_path() / ("." + file.filename().string() + ".index")).string();
}

}  // namespace

std::string TarIndexFile::render(const TarScan& scan, const std::string& source,
                                 std::uint64_t source_bytes) {
  std::string samples;
  std::string fields;
  std::string text = scan.damage;
  std::unordered_map<std::string, std::uint64_t> extensions;  // a handful of texts, stored once
  Header header;
  header.source_hash = xxh3_64(source);
  header.source_bytes = source_bytes;
  header.damage_bytes = text.size();
  for (const TarSample& sample : group_samples(scan)) {
    append(samples, SampleRecord{.key_offset = text.size(),
                                 .first_field = header.num_fields,
                                 .key_bytes = static_cast<std::uint32_t>(sample.key.size()),
                                 .damaged = sample.damaged});
    text += sample.key;
    for (const TarField& field : sample.fields) {
      const auto [known, is_new] = extensions.try_emplace(field.extension, text.size());
      if (is_new) text += field.extension;
      append(fields,
             FieldRecord{field.offset, field.size_bytes, known->second, field.extension.size()});
    }
    header.num_fields += sample.fields.size();
    ++header.num_samples;
  }
  header.text_bytes = text.size();
  const std::string body = samples + fields + text;
  xxh3_128_hex(body.data(), body.size()).copy(header.body_hash, sizeof(header.body_hash));
  std::string out;
  append(out, header);
  return out + body;
}

bool TarIndexFile::fits(const char* data, std::size_t size, const std::string& source) {
  Header header;
  if (size < sizeof(Header)) return false;
  std::memcpy(&header, data, sizeof(Header));
  const std::uint64_t body = size - sizeof(Header);
  if (header.magic != kMagic || header.source_hash != xxh3_64(source)) return false;
  if (header.num_samples > body / sizeof(SampleRecord) ||
      header.num_fields > body / sizeof(FieldRecord) || header.text_bytes > body ||
      header.damage_bytes > header.text_bytes || text_at(header) + header.text_bytes != size)
    return false;
  return std::string(header.body_hash, sizeof(header.body_hash)) ==
         xxh3_128_hex(data + sizeof(Header), body);
}

StatusOr<TarIndex> TarIndexFile::load(const std::string& index_path, const std::string& source) {
  TITAN_ASSIGN_OR_RETURN(MappedFile file, MappedFile::open(index_path));
  if (!fits(reinterpret_cast<const char*>(file.data()), file.size(), source))
    return data_loss("[tar] index ", index_path, " is of another tar or broken");
  TarIndex index;
  index.bytes_ = std::move(file);
  return index;
}

StatusOr<TarIndex> TarIndex::open(const std::string& path) {
  FileStamp stamp;
  TITAN_ASSIGN_OR_RETURN(const std::string source, source_of(path, &stamp));
  const StatusOr<std::string> cache = cache_folder("tar-index");
  TITAN_ASSIGN_OR_RETURN(const bool compressed, is_compressed_tar(path));
  std::string data_path = path;
  if (compressed) {
    TITAN_RETURN_IF_ERROR(cache.status());
    data_path = (fs::path(*cache) / cache_name(source, ".tar")).string();
    if (!fs::exists(data_path)) {
      TITAN_LOG(INFO) << "[tar] unpacking " << path << " once into " << data_path;
      TITAN_RETURN_IF_ERROR(unpack_tar(path, data_path));
    }
  }
  std::vector<std::string> places = {beside(path)};
  if (cache.ok()) places.push_back((fs::path(*cache) / cache_name(source, ".index")).string());
  const auto finish = [&](TarIndex index) {
    index.path_ = path;
    index.data_path_ = data_path;
    return index;
  };
  for (const std::string& place : places)
    if (StatusOr<TarIndex> stored = TarIndexFile::load(place, source); stored.ok())
      return finish(*std::move(stored));

  TITAN_ASSIGN_OR_RETURN(const FileDescriptor file, FileDescriptor::open_for_reading(data_path));
  TITAN_ASSIGN_OR_RETURN(const FileStamp data_stamp, file_stamp(data_path));
  TITAN_ASSIGN_OR_RETURN(const TarScan scan, scan_tar(file, data_stamp.size_bytes, path));
  TarIndex index;
  index.bytes_ = TarIndexFile::render(scan, source, stamp.size_bytes);
  index.was_built_ = true;
  Status stored = failed_precondition("no place");
  for (const std::string& place : places) {
    stored = write_file_atomically(place, std::get<std::string>(index.bytes_));
    if (stored.ok()) break;
  }
  if (!stored.ok())
    TITAN_LOG(WARNING) << "[tar] the index of " << path << " is not kept: " << message_of(stored);
  return finish(std::move(index));
}

const char* TarIndex::data() const {
  if (const auto* mapped = std::get_if<MappedFile>(&bytes_))
    return reinterpret_cast<const char*>(mapped->data());
  return std::get<std::string>(bytes_).data();
}

std::size_t TarIndex::size() const {
  return std::visit([](const auto& bytes) { return bytes.size(); }, bytes_);
}

int64_t TarIndex::num_samples() const {
  return static_cast<int64_t>(TarIndexFile::header(*this).num_samples);
}

std::uint64_t TarIndex::size_bytes() const { return TarIndexFile::header(*this).source_bytes; }

std::string TarIndex::damage() const {
  const TarIndexFile::Header header = TarIndexFile::header(*this);
  return TarIndexFile::text(*this, header, 0, header.damage_bytes);
}

TarSample TarIndex::sample(int64_t i) const {
  using File = TarIndexFile;
  const File::Header header = File::header(*this);
  TITAN_CHECK(i >= 0 && static_cast<std::uint64_t>(i) < header.num_samples,
              "[tar] sample out of range (", i, " of ", header.num_samples, ")");
  const std::uint64_t at =
      File::samples_at() + static_cast<std::uint64_t>(i) * sizeof(File::SampleRecord);
  const auto record = File::record<File::SampleRecord>(*this, at);
  const bool last = static_cast<std::uint64_t>(i) + 1 == header.num_samples;
  const std::uint64_t end =
      last ? header.num_fields
           : File::record<File::SampleRecord>(*this, at + sizeof(File::SampleRecord)).first_field;
  TarSample sample{.key = File::text(*this, header, record.key_offset, record.key_bytes),
                   .fields = {},
                   .damaged = record.damaged != 0};
  for (std::uint64_t f = record.first_field; f < end; ++f) {
    const auto field = File::record<File::FieldRecord>(
        *this, File::fields_at(header) + f * sizeof(File::FieldRecord));
    sample.fields.push_back(
        {File::text(*this, header, field.extension_offset, field.extension_bytes), field.offset,
         field.size_bytes});
  }
  return sample;
}

}  // namespace titan
