// mapped_file, atomic_file, file_descriptor.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <iterator>

#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "titan/io/atomic_file.h"
#include "titan/io/errno_status.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/mapped_file.h"

namespace titan {
namespace {

using Catch::Matchers::Contains;
using testing::slurp;
using testing::TemporaryFolder;
namespace fs = std::filesystem;

int64_t files_in(const fs::path& folder) {
  return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
}

TEST_CASE("MappedFile shows a file's bytes and refuses what is not a file", "[io]") {
  const TemporaryFolder folder;
  const std::string path = folder.write("a.bin", "hello");
  const StatusOr<MappedFile> mapped = MappedFile::open(path, MappedFile::Access::kRandom);
  REQUIRE(mapped.ok());
  CHECK(std::string(reinterpret_cast<const char*>(mapped->data()), mapped->size()) == "hello");
  mapped->prefetch(1, 1'000'000);  // beyond the end: clipped
  CHECK(MappedFile::open(folder.write("empty", ""))->size() == 0);

  const Status missing = MappedFile::open(folder.file("none")).status();
  CHECK(missing.code() == absl::StatusCode::kNotFound);
  CHECK_THAT(message_of(missing), Contains(folder.file("none")) && Contains("No such file"));
  CHECK_THAT(message_of(MappedFile::open(folder.path().string()).status()),
             Contains("not a regular file"));
}

TEST_CASE("MappedFile: a file shortened while it is open is an error, not a signal", "[io]") {
  const TemporaryFolder folder;
  const std::string path = folder.write("rows", std::string(100'000, 'x'));
  const StatusOr<MappedFile> mapped = MappedFile::open(path);
  REQUIRE(mapped.ok());
  CHECK(mapped->populate(50'000, 50'000).ok());
  CHECK(mapped->populate(99'999, 1'000'000).ok());  // beyond the end: clipped
  CHECK(mapped->populate(100'000, 1).ok());
  fs::resize_file(path, 20'000);
  CHECK(mapped->populate(0, 20'000).ok());
  const Status cut = mapped->populate(50'000, 50'000);
  CHECK(cut.code() == absl::StatusCode::kDataLoss);
  CHECK_THAT(message_of(cut), Contains(path + " has been shortened while it was open (20000 of "
                                              "100000 bytes are left)"));
}

TEST_CASE("MappedFile moves without unmapping", "[io]") {
  const TemporaryFolder folder;
  MappedFile first = *MappedFile::open(folder.write("a", "first"));
  MappedFile second = *MappedFile::open(folder.write("b", "second"));
  second = std::move(first);
  CHECK(std::string(reinterpret_cast<const char*>(second.data()), second.size()) == "first");
}

TEST_CASE("AtomicFile keeps the old file until commit and leaves nothing behind", "[io]") {
  const TemporaryFolder folder;
  const std::string path = folder.write("state", "old");
  {
    StatusOr<AtomicFile> abandoned = AtomicFile::create(path);
    REQUIRE(abandoned.ok());
    REQUIRE(abandoned->write("new", 3).ok());
    CHECK(slurp(path) == "old");
  }
  CHECK(slurp(path) == "old");
  CHECK(files_in(folder.path()) == 1);

  REQUIRE(write_file_atomically(path, "new").ok());
  CHECK(slurp(path) == "new");
  CHECK(files_in(folder.path()) == 1);
}

TEST_CASE("Two AtomicFiles of one path do not share a temporary file", "[io]") {
  const TemporaryFolder folder;
  AtomicFile a = *AtomicFile::create(folder.file("x"));
  AtomicFile b = *AtomicFile::create(folder.file("x"));
  REQUIRE(a.write("aaaa", 4).ok());
  REQUIRE(b.write("b", 1).ok());
  REQUIRE(a.commit().ok());
  REQUIRE(b.commit().ok());
  CHECK(slurp(folder.file("x")) == "b");
}

TEST_CASE("AtomicFile follows a symbolic link to the file it is to replace", "[io]") {
  const TemporaryFolder folder;
  fs::create_directories(folder.path() / "pages");
  const std::string target = folder.write("pages/old.html", "old");
  fs::create_symlink("pages/old.html", folder.file("link"));
  fs::create_symlink(folder.file("link"), folder.file("link of link"));
  REQUIRE(write_file_atomically(folder.file("link of link"), "new").ok());
  CHECK(slurp(target) == "new");
  CHECK(fs::is_symlink(folder.file("link")));
  CHECK(fs::is_symlink(folder.file("link of link")));
  CHECK(files_in(folder.path() / "pages") == 1);

  fs::create_symlink("pages/none yet", folder.file("dangling"));
  REQUIRE(write_file_atomically(folder.file("dangling"), "first").ok());
  CHECK(slurp(folder.path() / "pages/none yet") == "first");

  fs::create_symlink("round", folder.file("round"));
  const Status round = write_file_atomically(folder.file("round"), "x");
  CHECK(round.code() == absl::StatusCode::kInvalidArgument);
  CHECK_THAT(message_of(round), Contains(folder.file("round")));
}

TEST_CASE("AtomicFile writes through what is no regular file", "[io]") {
  const TemporaryFolder folder;
  const std::string pipe = folder.file("pipe");
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  const FileDescriptor reader(::open(pipe.c_str(), O_RDONLY | O_NONBLOCK));
  fs::create_symlink("pipe", folder.file("link"));
  for (const char* name : {"pipe", "link"}) {
    REQUIRE(write_file_atomically(folder.file(name), "page").ok());
    char text[8] = {};
    CHECK(::read(reader.get(), text, sizeof text - 1) == 4);
    CHECK(std::string(text) == "page");
    CHECK(fs::is_fifo(folder.file(name)));
  }
  CHECK(files_in(folder.path()) == 2);

  const Status no_file = write_file_atomically(folder.path().string(), "x");
  CHECK(no_file.code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("AtomicFile goes on in an open descriptor, as /dev/stdout is one", "[io]") {
  const TemporaryFolder folder;
  const FileDescriptor file(::open(folder.file("log").c_str(), O_WRONLY | O_CREAT, 0600));
  REQUIRE(::write(file.get(), "before ", 7) == 7);
  const std::string number = std::to_string(file.get());
  fs::create_symlink("/proc/self/fd/" + number, folder.file("stdout"));
  REQUIRE(write_file_atomically(folder.file("stdout"), "page").ok());
  REQUIRE(::write(file.get(), " after", 6) == 6);
  CHECK(slurp(folder.file("log")) == "before page after");
  CHECK(files_in(folder.path()) == 2);
}

TEST_CASE("AtomicFile names the path and the cause of a failure", "[io]") {
  const TemporaryFolder folder;
  const Status missing = write_file_atomically(folder.file("no/such/file"), "x");
  CHECK(missing.code() == absl::StatusCode::kNotFound);
  CHECK_THAT(message_of(missing), Contains("no/such/file"));

  CHECK_THAT(message_of(errno_status(ENOSPC, "write", "/data/x")),
             Contains("/data/x") && Contains("No space left on device"));
  CHECK(errno_status(ENOSPC, "write", "x").code() == absl::StatusCode::kResourceExhausted);
  CHECK(errno_status(EROFS, "create", "x").code() == absl::StatusCode::kPermissionDenied);
  CHECK(errno_status(EIO, "read", "x").code() == absl::StatusCode::kUnavailable);
  if (::geteuid() != 0) {
    fs::permissions(folder.path(), fs::perms::owner_read | fs::perms::owner_exec);
    const Status forbidden = write_file_atomically(folder.file("y"), "x");
    fs::permissions(folder.path(), fs::perms::owner_all);
    CHECK(forbidden.code() == absl::StatusCode::kPermissionDenied);
  }
}

TEST_CASE("A full disk fails the write and keeps the old file", "[io]") {
  // A file size limit stands in for the full disk: writes past it fail the same way (EFBIG).
  const TemporaryFolder folder;
  const std::string path = folder.write("checkpoint", "old");
  const pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{.rlim_cur = 4096, .rlim_max = 4096};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const Status status = write_file_atomically(path, std::string(10'000, 'x'));
    ::_exit(status.code() == absl::StatusCode::kResourceExhausted ? 0 : 1);
  }
  int outcome = -1;
  REQUIRE(::waitpid(child, &outcome, 0) == child);
  CHECK(outcome == 0);
  CHECK(slurp(path) == "old");
  CHECK(files_in(folder.path()) == 1);
}

TEST_CASE("read_exactly reports an early end as data loss", "[io]") {
  const TemporaryFolder folder;
  const std::string path = folder.write("a", "0123456789");
  const FileDescriptor file = *FileDescriptor::open_for_reading(path);
  std::string out(4, ' ');
  REQUIRE(read_exactly(file, 3, out.data(), 4, path).ok());
  CHECK(out == "3456");
  const Status early = read_exactly(file, 8, out.data(), 4, path);
  CHECK(early.code() == absl::StatusCode::kDataLoss);
  CHECK_THAT(message_of(early), Contains("ends at byte 10"));
  CHECK_THAT(message_of(read_file(path, 5).status()), Contains("too large"));
  CHECK(*read_file(path) == "0123456789");
}

}  // namespace
}  // namespace titan
