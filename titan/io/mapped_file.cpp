#include "titan/io/mapped_file.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "titan/io/errno_status.h"
#include "titan/io/file_descriptor.h"

namespace titan {
namespace {

#ifdef MADV_POPULATE_READ
constexpr int kPopulateRead = MADV_POPULATE_READ;
#else
constexpr int kPopulateRead = 22;  // headers older than Linux 5.14
#endif

int advice_of(MappedFile::Access access) {
  switch (access) {
    case MappedFile::Access::kSequential:
      return MADV_SEQUENTIAL;
    case MappedFile::Access::kRandom:
      return MADV_RANDOM;
    case MappedFile::Access::kNormal:
      break;
  }
  return MADV_NORMAL;
}

}  // namespace

StatusOr<MappedFile> MappedFile::open(const std::string& path, Access access) {
  TITAN_ASSIGN_OR_RETURN(const FileDescriptor file, FileDescriptor::open_for_reading(path));
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return errno_status(errno, "inspect", path);
  MappedFile mapped;
  mapped.path_ = path;
  mapped.size_ = static_cast<std::size_t>(info.st_size);
  if (mapped.size_ == 0) return mapped;  // mmap refuses length 0
  void* address = ::mmap(nullptr, mapped.size_, PROT_READ, MAP_SHARED, file.get(), 0);
  if (address == MAP_FAILED) {
    mapped.size_ = 0;
    return errno_status(errno, "map", path);
  }
  mapped.data_ = static_cast<const std::byte*>(address);
  ::madvise(address, mapped.size_, advice_of(access));
  return mapped;
}

MappedFile::~MappedFile() { unmap(); }

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    unmap();
    path_ = std::move(other.path_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

void MappedFile::unmap() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

/// madvise(2) on the pages around the range: 0 or errno.
int MappedFile::advise(std::size_t offset, std::size_t size_bytes, int advice) const {
  if (offset >= size_ || size_bytes == 0) return 0;
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t begin = offset / page * page;
  const std::size_t end = offset + std::min(size_bytes, size_ - offset);
  auto* address = const_cast<std::byte*>(data_) + begin;
  return ::madvise(address, end - begin, advice) == 0 ? 0 : errno;
}

void MappedFile::prefetch(std::size_t offset, std::size_t size_bytes) const {
  advise(offset, size_bytes, MADV_WILLNEED);
}

Status MappedFile::populate(std::size_t offset, std::size_t size_bytes) const {
  prefetch(offset, size_bytes);  // all of it at once; populating alone waits for piece after piece
  const int error = advise(offset, size_bytes, kPopulateRead);
  if (error != EFAULT && error != EHWPOISON) return ok_status();  // a kernel that cannot: EINVAL
  const StatusOr<FileStamp> now = file_stamp(path_);
  if (now.ok() && now->size_bytes < size_)
    return data_loss("[io] ", path_, " has been shortened while it was open (", now->size_bytes,
                     " of ", size_, " bytes are left)");
  return errno_status(EIO, "read", path_);
}

void MappedFile::release(std::size_t offset, std::size_t size_bytes) const {
  advise(offset, size_bytes, MADV_DONTNEED);
}

}  // namespace titan
