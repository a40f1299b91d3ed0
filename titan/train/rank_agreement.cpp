#include "titan/train/rank_agreement.h"

#include <dlfcn.h>
#include <torch/version.h>

#include <sstream>
#include <string>
#include <vector>

#include "titan/base/hash.h"
#include "titan/config/render.h"
#include "titan/io/mapped_file.h"

namespace titan {
namespace {

/// XXH3-128 of the shared library that holds this code; empty where it cannot be read.
std::string library_hash() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&check_ranks_agree), &info) == 0) return "";
  const StatusOr<MappedFile> file = MappedFile::open(info.dli_fname);
  return file.ok() ? xxh3_128_hex(file->data(), file->size()) : "";
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

/// The first setting in which two resolved configs differ, with both values.
std::string first_difference(const std::string& mine, const std::string& theirs, std::size_t rank) {
  const std::vector<std::string> a = lines_of(mine), b = lines_of(theirs);
  std::string section;
  for (std::size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    const std::string left = i < a.size() ? a[i] : "(nothing)";
    const std::string right = i < b.size() ? b[i] : "(nothing)";
    if (left != right) return str_cat(section, " ", left, " on rank 0, ", right, " on rank ", rank);
    if (left.starts_with("[")) section = left;
  }
  return "no line differs";
}

}  // namespace

Status check_ranks_agree(const JobConfig& config, parallel::Communicator& control) {
  if (control.size() == 1) return ok_status();
  const std::string settings = render_toml(config);
  const std::string program = library_hash() + " LibTorch " + TORCH_VERSION;
  const std::vector<std::string> programs = control.all_gather_text(program);
  for (std::size_t rank = 1; rank < programs.size(); ++rank) {
    if (programs[rank] != programs[0]) {
      return invalid_argument("[parallel] rank ", rank,
                              " runs another build than rank 0: copy the same libtitan.so and "
                              "LibTorch to every node (",
                              programs[0], " on rank 0, ", programs[rank], " on rank ", rank, ")");
    }
  }
  const std::vector<std::string> hashes =
      control.all_gather_text(xxh3_128_hex(settings.data(), settings.size()));
  for (std::size_t rank = 1; rank < hashes.size(); ++rank) {
    if (hashes[rank] == hashes[0]) continue;
    const std::vector<std::string> all = control.all_gather_text(settings);
    return invalid_argument("[parallel] rank ", rank, " has other settings than rank 0: ",
                            first_difference(all[0], all[rank], rank));
  }
  return ok_status();
}

}  // namespace titan
