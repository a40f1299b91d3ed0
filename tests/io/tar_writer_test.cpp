#include "tests/support/catch.h"

#include "titan/io/tar_writer.h"

#include "tests/io/image_golden.h"
#include "tests/support/temporary_folder.h"

TEST_CASE("a written tar is read by libarchive, every size of member", "[io]") {
  const titan::testing::TemporaryFolder folder;
  const std::string path = folder.file("a.tar");
  auto tar = titan::TarWriter::create(path);
  REQUIRE(tar.ok());
  const std::vector<std::size_t> sizes = {0, 1, 511, 512, 513, 3 << 20};
  for (const std::size_t size : sizes)
    REQUIRE(
        tar->add(titan::str_cat(size, ".bin"), std::string(size, static_cast<char>('a' + size % 7)))
            .ok());
  REQUIRE(!tar->add(std::string(101, 'n'), "text").ok());
  REQUIRE(!std::filesystem::exists(path));
  REQUIRE(tar->finish().ok());
  const auto members = titan::testing::read_tar(path);
  REQUIRE(members.size() == sizes.size());
  for (const std::size_t size : sizes) {
    const auto& bytes = members.at(titan::str_cat(size, ".bin"));
    REQUIRE(bytes == titan::testing::Bytes(size, static_cast<std::uint8_t>('a' + size % 7)));
  }
  REQUIRE(std::filesystem::file_size(path) % 512 == 0);
}
