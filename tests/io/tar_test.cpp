#include "tests/support/catch.h"

#include <random>

#include <stdlib.h>
#include <nlohmann/json.hpp>

#include "titan/io/open_files.h"
#include "titan/io/tar_index.h"
#include "titan/io/tar_scan.h"

#include "tests/support/golden_root.h"
#include "tests/support/tar_builder.h"
#include "tests/support/temporary_folder.h"

namespace titan {
namespace {

using Catch::Matchers::Contains;
using testing::TarBuilder;
using testing::TemporaryFolder;

/// Points TITAN_CACHE at a folder of its own.
class CacheInside {
 public:
  explicit CacheInside(const TemporaryFolder& folder) {
    ::setenv("TITAN_CACHE", folder.file("cache").c_str(), 1);
  }
  ~CacheInside() { ::unsetenv("TITAN_CACHE"); }
};

StatusOr<TarScan> scan(const TemporaryFolder& folder, const std::string& bytes) {
  const std::string path = folder.write("t.tar", bytes);
  const StatusOr<FileDescriptor> file = FileDescriptor::open_for_reading(path);
  return scan_tar(*file, bytes.size(), path);
}

std::vector<std::string> names(const TarScan& scan) {
  std::vector<std::string> out;
  for (const TarMember& member : scan.members) out.push_back(member.name);
  return out;
}

std::string contents(const TarIndex& index, const TarField& field) {
  const FileDescriptor file = *FileDescriptor::open_for_reading(index.data_path());
  std::string bytes(field.size_bytes, '\0');
  const Status status = read_exactly(file, field.offset, bytes.data(), bytes.size(), index.path());
  return status.ok() ? bytes : message_of(status);
}

TEST_CASE("scan_tar reads every way of storing names and sizes", "[io]") {
  const TemporaryFolder folder;
  const std::string long_name(300, 'n');
  const std::string bytes = TarBuilder()
                                .add("plain.txt", "1")
                                .add("in_prefix.txt", "22", '0', "some/folder")
                                .add("././@LongLink", long_name + '\0', 'L')
                                .add("cut", "333")
                                .pax("path=p\u00e4x name.txt")
                                .add("cut", std::string(513, '4'))
                                .add("folder/", "", '5')
                                .add("link", "", '2')
                                .pax("comment=global", 'g')
                                .add("old", "5", '\0')
                                .finished();
  const StatusOr<TarScan> found = scan(folder, bytes);
  REQUIRE(found.ok());
  CHECK(found->damage.empty());
  CHECK(names(*found) == std::vector<std::string>{"plain.txt", "some/folder/in_prefix.txt",
                                                  long_name, "p\u00e4x name.txt", "old"});
  CHECK(found->members[3].size_bytes == 513);
  for (const TarMember& member : found->members)
    CHECK(bytes[member.offset] == '1' + (&member - found->members.data()));
}

TEST_CASE("scan_tar names tar and member of damage", "[io]") {
  const TemporaryFolder folder;
  const std::string good =
      TarBuilder().add("a.txt", "data").add("b.txt", std::string(600, 'b')).finished();
  const StatusOr<TarScan> in_data = scan(folder, good.substr(0, 1024 + 512 + 100));
  CHECK_THAT(in_data->damage, Contains("t.tar") && Contains("inside member b.txt"));
  CHECK(in_data->damaged_member == "b.txt");
  CHECK(names(*in_data) == std::vector<std::string>{"a.txt"});

  const StatusOr<TarScan> in_header = scan(folder, good.substr(0, 1024 + 100));
  CHECK_THAT(in_header->damage, Contains("inside a header") && Contains("after member a.txt"));

  std::string flipped = good;
  flipped[1024] = 'x';
  CHECK_THAT(scan(folder, flipped)->damage, Contains("wrong checksum") && Contains("byte 1024"));

  CHECK_THAT(message_of(scan(folder, "no tar at all").status()), Contains("is not a tar"));
  CHECK_THAT(message_of(scan(folder, "").status()), Contains("empty"));
  CHECK(scan(folder, std::string(10240, '\0'))->members.empty());
  CHECK(scan(folder, TarBuilder().add("a", "1").bytes())->damage.empty());  // no end blocks
  CHECK_THAT(scan(folder, TarBuilder().add("a", "1").pax("path").finished())->damage,
             Contains("malformed"));
}

TEST_CASE("TarIndex is kept beside the tar and rebuilt when the tar changes", "[io]") {
  const TemporaryFolder folder;
  const CacheInside cache(folder);
  const std::string path = folder.write(
      "s.tar",
      TarBuilder().add("0.JPG", "image").add("0.txt", "one").add("1.jpg", "i2").finished());
  const TarIndex built = *TarIndex::open(path);
  CHECK(built.was_built());
  CHECK(std::filesystem::exists(folder.file(".s.tar.index")));
  const TarIndex kept = *TarIndex::open(path);
  CHECK_FALSE(kept.was_built());
  for (const TarIndex* index : {&built, &kept}) {
    REQUIRE(index->num_samples() == 2);
    const TarSample first = index->sample(0);
    CHECK(first.key == "0");
    REQUIRE(first.find("jpg") != nullptr);
    CHECK(contents(*index, *first.find("jpg")) == "image");
    CHECK(contents(*index, *first.find("txt")) == "one");
    CHECK(index->sample(1).find("txt") == nullptr);
    CHECK(index->damage().empty());
    CHECK_THROWS_WITH(index->sample(2), Contains("out of range"));
  }
  folder.write("s.tar", TarBuilder().add("9.jpg", "other").finished());
  CHECK(TarIndex::open(path)->sample(0).key == "9");

  // A broken index is built again, not believed.
  std::string bytes = testing::slurp(folder.file(".s.tar.index"));
  bytes[bytes.size() / 2] ^= 1;
  folder.write(".s.tar.index", bytes);
  const TarIndex again = *TarIndex::open(path);
  CHECK(again.was_built());
  CHECK(again.sample(0).key == "9");
}

TEST_CASE("TarIndex goes to the cache folder where the tar's place cannot be written", "[io]") {
  const TemporaryFolder folder;
  const CacheInside cache(folder);
  const std::string path = folder.write("s.tar", TarBuilder().add("0.jpg", "i").finished());
  // A folder in the index's place fails the rename for every user, root too.
  std::filesystem::create_directories(folder.file(".s.tar.index/x"));
  CHECK(TarIndex::open(path)->was_built());
  CHECK_FALSE(TarIndex::open(path)->was_built());
  CHECK_FALSE(std::filesystem::is_empty(folder.file("cache/tar-index")));
}

TEST_CASE("OpenFiles keeps a bounded number of files open", "[io]") {
  const TemporaryFolder folder;
  OpenFiles files(2);
  std::weak_ptr<const FileDescriptor> first = *files.get(folder.write("0", "a"));
  CHECK(*files.get(folder.file("0")) == first.lock());
  for (const char* name : {"1", "2"}) REQUIRE(files.get(folder.write(name, "a")).ok());
  CHECK(first.expired());
  CHECK(files.get(folder.file("absent")).status().code() == absl::StatusCode::kNotFound);
}

TEST_CASE("Mutated tars never crash the scan", "[io]") {
  const TemporaryFolder folder;
  const std::string good = TarBuilder()
                               .add("a/0.jpg", std::string(700, 'i'))
                               .pax("path=a/0.txt")
                               .add("cut", "text")
                               .add("././@LongLink", std::string(200, 'x') + ".jpg", 'L')
                               .add("cut", "more")
                               .finished();
  std::mt19937 random(11);  // NOLINT: a fixed seed keeps a failure repeatable
  for (int round = 0; round < 1500; ++round) {
    std::string mutated = good;
    for (unsigned edit = 0; edit < 1 + random() % 6; ++edit)
      mutated[random() % mutated.size()] = static_cast<char>(random());
    if (random() % 3 == 0) mutated.resize(random() % mutated.size());
    const std::size_t block = random() % (mutated.size() / 512 + 1) * 512;
    if (block + 512 <=
        mutated.size()) {  // a right checksum lets the mutation through to the fields
      mutated.replace(block + 148, 8, 8, ' ');
      unsigned sum = 0;
      for (std::size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(mutated[block + i]);
      char text[8];
      std::snprintf(text, sizeof(text), "%06o", sum);
      mutated.replace(block + 148, 7, text, 7);
    }
    const StatusOr<TarScan> found = scan(folder, mutated);
    if (!found.ok()) continue;
    for (const TarMember& member : found->members)
      REQUIRE(member.offset + member.size_bytes <= mutated.size());
    group_samples(*found);
  }
}

TEST_CASE("Golden tars group as the reference groups them", "[io][golden]") {
  const auto root = testing::golden_root();
  if (!root || !std::filesystem::exists(*root / "data/webdataset/expected.json"))
    TITAN_SKIP(testing::kNoGolden);
  const TemporaryFolder folder;
  const CacheInside cache(folder);
  const nlohmann::json expected =
      nlohmann::json::parse(testing::slurp((*root / "data/webdataset/expected.json").string()));
  int tars = 0;
  for (const nlohmann::json& file : expected.at("files")) {
    const std::string name = file.at("file");
    INFO(name);
    ++tars;
    // A copy: the golden folder gets no index files.
    const std::string path =
        folder.write(name, testing::slurp((*root / "data/webdataset" / name).string()));
    const StatusOr<TarIndex> index = TarIndex::open(path);
    const nlohmann::json& samples = file.at("samples");
    if (!index.ok()) {
      // Only where the reference could not read a single header either.
      CHECK(file.at("error").at("type") == "ReadError");
      CHECK(samples.empty());
      CHECK_THAT(message_of(index.status()), Contains(name));
      continue;
    }
    // The reference stops at members it cannot decode; grouping goes on there, so ours may be
    // longer.
    REQUIRE(index->num_samples() >= static_cast<int64_t>(samples.size()));
    if (!file.contains("error"))
      CHECK(index->num_samples() == static_cast<int64_t>(samples.size()));
    for (std::size_t i = 0; i < samples.size(); ++i) {
      const TarSample ours = index->sample(static_cast<int64_t>(i));
      CHECK(ours.key == samples[i].at("key").get<std::string>());
      const nlohmann::json& fields = samples[i].at("fields");
      CHECK(ours.fields.size() == fields.size());
      for (const auto& [extension, value] : fields.items()) {
        INFO(extension);
        const TarField* field = ours.find(extension);
        REQUIRE(field != nullptr);
        if (value.contains("length")) CHECK(field->size_bytes == value.at("length"));
        if (value.at("type") == "text" && extension == "txt")
          CHECK(contents(*index, *field) == value.at("value").get<std::string>());
        if (value.at("type") == "json")
          CHECK(nlohmann::json::parse(contents(*index, *field)) == value.at("value"));
      }
    }
    const bool broken = name.rfind("truncated_in", 0) == 0 || name.rfind("bad_checksum", 0) == 0;
    CHECK(broken == !index->damage().empty());
    if (broken) CHECK_THAT(index->damage(), Contains(name) && Contains("member"));
    if (index->num_samples() > 0) CHECK(broken == index->sample(index->num_samples() - 1).damaged);
  }
  std::printf("[golden] webdataset: %d tars grouped\n", tars);
  CHECK(tars > 0);
}

}  // namespace
}  // namespace titan
