#include "titan/tools/captions.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <sstream>

#include "titan/data/webdataset_fields.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/tar_index.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxTextBytes = 1 << 20;  ///< of one caption or its json

/// A list that is full at some length.
class CaptionList {
 public:
  explicit CaptionList(std::int64_t limit) : limit_(static_cast<std::size_t>(limit)) {}

  bool full() const { return captions_.size() >= limit_; }
  void add(std::string caption) {
    while (!caption.empty() && (caption.back() == '\n' || caption.back() == '\r'))
      caption.pop_back();
    if (!caption.empty() && !full()) captions_.push_back(std::move(caption));
  }
  std::vector<std::string> take() { return std::move(captions_); }

 private:
  std::size_t limit_;
  std::vector<std::string> captions_;
};

Status add_tar(const fs::path& path, CaptionList& list) {
  TITAN_ASSIGN_OR_RETURN(const TarIndex tar, TarIndex::open(path.string()));
  TITAN_ASSIGN_OR_RETURN(const FileDescriptor file,
                         FileDescriptor::open_for_reading(tar.data_path()));
  const auto load = [&](const TarSample& sample, const char* extension,
                        std::optional<std::string>& into) -> Status {
    const TarField* field = sample.find(extension);
    if (field == nullptr || field->size_bytes > kMaxTextBytes) return ok_status();
    into = std::string(field->size_bytes, '\0');
    return read_exactly(file, field->offset, into->data(), into->size(), tar.data_path());
  };
  for (std::int64_t i = 0; i < tar.num_samples() && !list.full(); ++i) {
    const TarSample sample = tar.sample(i);
    if (sample.damaged) continue;
    TextMembers members;
    TITAN_RETURN_IF_ERROR(load(sample, "txt", members.txt));
    if (!members.txt) TITAN_RETURN_IF_ERROR(load(sample, "json", members.json));
    // A caption that cannot be read teaches nothing; the data set itself reports it.
    if (StatusOr<TextFields> fields = decode_text_members(members, "cls"); fields.ok())
      list.add(fields->caption.value_or(""));
  }
  return ok_status();
}

StatusOr<std::vector<fs::path>> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (entry.is_regular_file(error)) files.push_back(entry.path());
  if (error)
    return invalid_argument("[captions] cannot read the folder ", folder.string(), ": ",
                            error.message());
  std::sort(files.begin(), files.end());
  return files;
}

bool is_tar(const fs::path& path) {
  const std::string name = path.filename().string();
  return !name.starts_with('.') && (name.ends_with(".tar") || name.ends_with(".tar.gz"));
}

Status add_folder(const fs::path& folder, CaptionList& list) {
  TITAN_ASSIGN_OR_RETURN(const std::vector<fs::path> files, files_in(folder));
  const bool has_tars = std::any_of(files.begin(), files.end(), is_tar);
  for (const fs::path& file : files) {
    if (list.full()) break;
    if (has_tars && is_tar(file)) {
      TITAN_RETURN_IF_ERROR(add_tar(file, list));
    } else if (!has_tars && file.extension() == ".txt") {
      TITAN_ASSIGN_OR_RETURN(std::string caption, read_file(file.string(), kMaxTextBytes));
      list.add(std::move(caption));
    }
  }
  return ok_status();
}

}  // namespace

StatusOr<std::vector<std::string>> read_captions(const std::string& path,
                                                 std::int64_t max_captions) {
  CaptionList list(max_captions);
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    TITAN_RETURN_IF_ERROR(add_folder(path, list));
  } else if (is_tar(path)) {
    TITAN_RETURN_IF_ERROR(add_tar(path, list));
  } else {
    TITAN_ASSIGN_OR_RETURN(const std::string text, read_file(path));
    std::istringstream lines(text);
    for (std::string line; !list.full() && std::getline(lines, line);) list.add(std::move(line));
  }
  std::vector<std::string> captions = list.take();
  if (captions.empty())
    return invalid_argument("[captions] ", path,
                            " holds no captions (wanted: a text file of one a line, or a folder of "
                            "webdataset tars or .txt files)");
  return captions;
}

}  // namespace titan
