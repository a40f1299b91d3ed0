#include "titan/io/arrow_stream.h"

#include <cstring>
#include <limits>
#include <random>

#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "titan/io/arrow_writer.h"
#include "titan/io/saved_folder.h"

namespace titan {
namespace {

using Catch::Matchers::Contains;
using testing::slurp;
using testing::TemporaryFolder;

constexpr int kRows = 7;

std::string blob_of(int row) {
  return std::string(static_cast<std::size_t>(3 * row), static_cast<char>('a' + row));
}

/// Columns key (text), blob (bytes, null in row 4), number (int32, null in row 2); batches of 3
/// rows.
std::string write_small(const TemporaryFolder& folder) {
  using Type = ArrowColumnSpec::Type;
  const std::string path = folder / "small.arrow";
  StatusOr<ArrowStreamWriter> writer = ArrowStreamWriter::create(
      path, {{"key", Type::kString}, {"blob", Type::kBinary}, {"number", Type::kInt32}},
      {{"huggingface", "{}"}});
  REQUIRE(writer.ok());
  for (int row = 0; row < kRows; ++row) {
    const std::string key = "k" + std::to_string(row), blob = blob_of(row);
    const auto view = [](const std::string& text) {
      return ArrowValue(std::as_bytes(std::span(text.data(), text.size())));
    };
    REQUIRE(writer
                ->append({view(key), row == 4 ? ArrowValue() : view(blob),
                          row == 2 ? ArrowValue() : ArrowValue(std::int32_t{10 * row})})
                .ok());
    if (row % 3 == 2) REQUIRE(writer->flush().ok());
  }
  const Status finished = writer->finish();
  INFO(message_of(finished));
  REQUIRE(finished.ok());
  return path;
}

std::string text_of(const StatusOr<std::optional<std::span<const std::byte>>>& value) {
  if (!value.ok()) return "error: " + message_of(value.status());
  if (!*value) return "null";
  return {reinterpret_cast<const char*>((*value)->data()), (*value)->size()};
}

/// Reads everything; whatever comes back lies in the file.
void read_all(const ArrowStreamFile& file) {
  std::size_t sum = 0;
  // A null column may claim any number of rows.
  for (int64_t row = 0; row < std::min<int64_t>(file.num_rows(), 50); ++row) {
    for (std::size_t column = 0; column < file.fields().size(); ++column) {
      const auto index = static_cast<int>(column);
      const ArrowKind kind = file.fields()[column].kind;
      if (kind == ArrowKind::kBytes || kind == ArrowKind::kText) {
        const auto value = file.bytes(index, row);
        if (value.ok() && *value)
          for (const std::byte b : **value) sum += std::to_integer<std::size_t>(b);
      } else if (kind == ArrowKind::kInteger) {
        const auto value = file.integer(index, row);
        if (value.ok() && *value) sum += static_cast<std::size_t>(**value);
      }
    }
  }
  CHECK(sum + 1 > 0);
}

/// Opens `bytes` as a file and reads all of it, if it opens.
bool survives(const TemporaryFolder& folder, const std::string& bytes) {
  const StatusOr<ArrowStreamFile> file =
      ArrowStreamFile::open(folder.write("hostile.arrow", bytes));
  if (file.ok()) {
    read_all(*file);
    return true;
  }
  CHECK_THAT(message_of(file.status()), Contains("hostile.arrow"));
  return false;
}

}  // namespace

TEST_CASE("arrow: rows come back in any order") {
  const TemporaryFolder folder;
  const StatusOr<ArrowStreamFile> file = ArrowStreamFile::open(write_small(folder));
  REQUIRE(file.ok());
  CHECK(file->num_rows() == kRows);
  CHECK(file->num_batches() == 3);
  CHECK(file->has_end_mark());
  const int key = file->find("key"), blob = file->find("blob"), number = file->find("number");
  CHECK(file->find("absent") == -1);
  CHECK(file->fields()[static_cast<std::size_t>(blob)].type == "binary");
  for (const int row : {6, 0, 3, 2, 4, 5, 1}) {
    CHECK(text_of(file->bytes(key, row)) == "k" + std::to_string(row));
    CHECK(text_of(file->bytes(blob, row)) == (row == 4 ? "null" : blob_of(row)));
    const auto value = file->integer(number, row);
    REQUIRE(value.ok());
    CHECK(value->has_value() == (row != 2));
    if (*value) CHECK(**value == 10 * row);
  }
}

TEST_CASE("arrow: a file cut short says so, at every length") {
  const TemporaryFolder folder;
  const std::string whole = slurp(write_small(folder));
  int opened = 0;
  for (std::size_t size = 0; size < whole.size(); ++size)
    opened += survives(folder, whole.substr(0, size)) ? 1 : 0;
  // After the schema, after each of three batches, and with the end mark's first bytes missing: a
  // cut at a message's border cannot be seen, elsewhere it is an error.
  CHECK(opened == 4);
  const StatusOr<ArrowStreamFile> cut =
      ArrowStreamFile::open(folder.write("cut.arrow", whole.substr(0, whole.size() - 30)));
  REQUIRE_FALSE(cut.ok());
  CHECK_THAT(message_of(cut.status()), Contains("cut.arrow is cut short: "));
}

TEST_CASE("arrow: a record batch in front of its schema is called that") {
  const TemporaryFolder folder;
  const std::string whole = slurp(write_small(folder));
  std::int32_t header_bytes = 0;
  std::memcpy(&header_bytes, whole.data() + 4, sizeof header_bytes);
  const std::string batches = whole.substr(8 + static_cast<std::size_t>(header_bytes));
  CHECK_THAT(message_of(ArrowStreamFile::open(folder.write("x.arrow", batches)).status()),
             Contains("x.arrow has a record batch in front of its schema"));
}

TEST_CASE("arrow: a value of another type than its column is an error that says why") {
  const TemporaryFolder folder;
  StatusOr<ArrowStreamWriter> writer =
      ArrowStreamWriter::create(folder / "x.arrow", {{"key", ArrowColumnSpec::Type::kString}}, {});
  REQUIRE(writer.ok());
  CHECK_THAT(message_of(writer->append({ArrowValue(std::int32_t{3})})),
             Contains("cannot append to " + (folder / "x.arrow") + ": Invalid argument"));
}

TEST_CASE("arrow: other formats are named") {
  const TemporaryFolder folder;
  const auto message = [&](const std::string& bytes) {
    return message_of(ArrowStreamFile::open(folder.write("x.arrow", bytes)).status());
  };
  CHECK_THAT(message(""), Contains("is empty"));
  CHECK_THAT(message(std::string("ARROW1\0\0and more", 16)), Contains("random-access"));
  CHECK_THAT(message("PAR1PAR1PAR1PAR1"), Contains("no Arrow stream"));
  CHECK(ArrowStreamFile::open(folder / "missing.arrow").status().code() ==
        absl::StatusCode::kNotFound);
}

TEST_CASE("arrow: hostile numbers in every place") {
  const TemporaryFolder folder;
  const std::string whole = slurp(write_small(folder));
  int opened = 0, refused = 0;
  for (std::size_t at = 0; at + 8 <= whole.size(); at += 4) {
    for (const std::int64_t value :
         {std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::min(),
          std::int64_t{-1}, std::int64_t{1} << 62, std::int64_t{0x7FFFFFFF}, std::int64_t{-8}}) {
      std::string bytes = whole;
      std::memcpy(bytes.data() + at, &value, at % 8 == 0 ? 8 : 4);
      (survives(folder, bytes) ? opened : refused) += 1;
    }
  }
  CHECK(opened > 0);
  CHECK(refused > 0);
}

TEST_CASE("arrow: random damage") {
  const TemporaryFolder folder;
  const std::string whole = slurp(write_small(folder));
  std::mt19937 random(11);
  for (int round = 0; round < 4000; ++round) {
    std::string bytes = whole;
    for (unsigned i = 0; i <= random() % 6; ++i)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    survives(folder, bytes);
  }
}

TEST_CASE("arrow: a hostile offset is an error of its row") {
  const TemporaryFolder folder;
  std::string bytes = slurp(write_small(folder));
  // Offsets of `blob` in the last batch, which holds row 6 alone: 0 and 18.
  const std::string offsets("\0\0\0\0\x12\0\0\0", 8);
  const std::size_t at = bytes.rfind(offsets);
  REQUIRE(at != std::string::npos);
  bytes[at + 6] = '\x40';
  const StatusOr<ArrowStreamFile> file = ArrowStreamFile::open(folder.write("x.arrow", bytes));
  REQUIRE(file.ok());
  CHECK(text_of(file->bytes(file->find("blob"), 5)) == blob_of(5));
  CHECK_THAT(text_of(file->bytes(file->find("blob"), 6)),
             Contains("x.arrow row 6, column 'blob': offsets out of range"));
}

TEST_CASE("saved folder: files that claim more rows than can be counted") {
  const TemporaryFolder folder;
  StatusOr<ArrowStreamWriter> writer = ArrowStreamWriter::create(folder / "x.arrow", {}, {});
  REQUIRE(writer.ok());
  constexpr std::int64_t kRowsWritten = 70'007;
  for (std::int64_t row = 0; row < kRowsWritten; ++row) REQUIRE(writer->append({}).ok());
  REQUIRE(writer->finish().ok());
  std::string bytes = slurp(folder / "x.arrow");
  const std::size_t at =
      bytes.find(std::string(reinterpret_cast<const char*>(&kRowsWritten), sizeof kRowsWritten));
  REQUIRE(at != std::string::npos);
  constexpr std::int64_t kClaimed = std::numeric_limits<std::int64_t>::max() / 64;
  std::memcpy(bytes.data() + at, &kClaimed, sizeof kClaimed);
  folder.write("x.arrow", bytes);
  REQUIRE(ArrowStreamFile::open(folder / "x.arrow")->num_rows() == kClaimed);
  std::string list = R"({"filename": "x.arrow"})";
  for (int file = 1; file < 65; ++file) list += R"(, {"filename": "x.arrow"})";
  folder.write("state.json", R"({"_data_files": [)" + list + "]}");
  folder.write("dataset_info.json", "{}");
  CHECK_THAT(message_of(SavedFolder::open(folder.path().string()).status()),
             Contains("x.arrow claims ") && Contains("more than 64 bits count"));
}

TEST_CASE("saved folder: what its json files may not say") {
  const TemporaryFolder folder;
  const auto message = [&] {
    return message_of(SavedFolder::open(folder.path().string()).status());
  };
  write_small(folder);
  CHECK_THAT(message(), Contains("has no state.json"));
  folder.write("state.json", R"({"_data_files": [{"filename": "small.arrow"}]})");
  CHECK_THAT(message(), Contains("has no dataset_info.json"));
  folder.write("dataset_info.json", "{}");
  REQUIRE(SavedFolder::open(folder.path().string()).ok());
  CHECK(SavedFolder::open(folder.path().string())->describe(6) == "small.arrow row 6");
  for (const auto& [state, text] : std::vector<std::pair<std::string, std::string>>{
           {R"({"_data_files": [{"filename": "small)", "not a JSON object"},
           {"[]", "not a JSON object"},
           {"{}", "no list"},
           {R"({"_data_files": []})", "lists no file"},
           {R"({"_data_files": [{"file": "x"}]})", "no \"filename\""},
           {R"({"_data_files": [{"filename": "../small.arrow"}]})", "leaves the folder"},
           {R"({"_data_files": [{"filename": "/etc/passwd"}]})", "leaves the folder"},
           {R"({"_data_files": [{"filename": "other.arrow"}]})", "not there (other.arrow)"}}) {
    folder.write("state.json", state);
    CHECK_THAT(message(), Contains(text));
  }
}

// Written by pyarrow (scripts/make_data_goldens.py): structs with nulls, a struct of nulls in it.
TEST_CASE("arrow: parts of structs are read like columns, null where the struct is") {
  const std::string name = "tests/golden/saved_images/data-00001-of-00002.arrow";
  const StatusOr<ArrowStreamFile> file = ArrowStreamFile::open(name);
  INFO(message_of(file.status()));
  REQUIRE(file.ok());
  CHECK(file->column_names() == "__key__, jpg, json, png, txt, empty");
  CHECK(file->num_rows() == 4);
  CHECK(file->find("bytes") == -1);
  const int json = file->find("json"), png = file->find("png");
  REQUIRE(json >= 0);
  CHECK(file->fields()[static_cast<std::size_t>(json)].kind == ArrowKind::kStruct);
  const int caption = file->find(json, "caption"), id = file->find(json, "id");
  const int timestep = file->find(json, "timestep"), none = file->find(json, "error_message");
  CHECK(file->find(png, "caption") == -1);
  CHECK(text_of(file->bytes(caption, 0)) == "json 3");
  CHECK(text_of(file->bytes(id, 2)) == "5");
  CHECK(**file->integer(timestep, 1) == 4);
  CHECK(text_of(file->bytes(none, 0)) == "null");
  CHECK(text_of(file->bytes(caption, 3)) == "null");
  CHECK_FALSE(file->integer(timestep, 3)->has_value());
  CHECK(text_of(file->bytes(file->find(png, "bytes"), 0)) == "null");  // the whole picture is
  CHECK(text_of(file->bytes(file->find(png, "bytes"), 1)).starts_with("\x89PNG"));
  CHECK(text_of(file->bytes(file->find(png, "bytes"), 2)) == "null");
  CHECK(text_of(file->bytes(file->find(png, "path"), 2)) == "absent.png");
  CHECK(text_of(file->bytes(file->find("empty"), 0)) == "null");
}

TEST_CASE("arrow: damage in structs") {
  const TemporaryFolder folder;
  const std::string good = slurp("tests/golden/saved_images/data-00000-of-00002.arrow");
  std::mt19937 draw(11);
  int opened = 0;
  for (int i = 0; i < 400; ++i) {
    std::string bytes = good;
    for (int change = 0; change < 3; ++change)
      bytes[draw() % bytes.size()] = static_cast<char>(draw());
    opened += survives(folder, bytes) ? 1 : 0;
  }
  CHECK(opened > 0);
}

}  // namespace titan
