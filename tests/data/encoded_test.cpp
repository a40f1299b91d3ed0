// Preprocessed samples: both file formats, the data sets over them, and what is wrong with bad
// ones.
#include "tests/support/catch.h"

#include <cstring>
#include <filesystem>

#include "tests/data/memory_rows.h"
#include "tests/support/temporary_folder.h"
#include "titan/config/job_config.h"
#include "titan/data/dataloader.h"
#include "titan/data/dataset.h"
#include "titan/data/empty_encodings.h"
#include "titan/data/row_shards.h"
#include "titan/io/npy.h"
#include "titan/io/safetensors.h"

namespace titan {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using testing::MemoryRows;
using testing::TemporaryFolder;

const std::function<void(int64_t)> kQuiet = [](int64_t) {};

/// Writes `rows` in one of the formats into a new folder inside `folder`.
std::string write(const EncodedRows& rows, const TemporaryFolder& folder, const std::string& format,
                  int64_t per_file = 3) {
  const std::string path = folder / (format + std::to_string(std::rand()));
  fs::create_directory(path);
  const Status status = format == "rows" ? write_row_shards(rows, path, per_file, kQuiet)
                                         : write_saved_rows(rows, path, per_file * 1000, kQuiet);
  INFO(message_of(status));
  REQUIRE(status.ok());
  return path;
}

JobConfig encoded_config(const std::string& name, const std::string& path) {
  JobConfig config;
  config.training.dataset = name;
  config.training.dataset_path = path;
  return config;
}

std::unique_ptr<Dataset> open(const std::string& name, const std::string& path) {
  StatusOr<std::unique_ptr<Dataset>> dataset = open_dataset(encoded_config(name, path));
  INFO(message_of(dataset.status()));
  REQUIRE(dataset.ok());
  return *std::move(dataset);
}

std::string open_error(const std::string& name, const std::string& path) {
  return message_of(open_dataset(encoded_config(name, path)).status());
}

void check_same(const EncodedRows& a, const EncodedRows& b) {
  REQUIRE(a.size() == b.size());
  for (int64_t index = a.size() - 1; index >= 0; --index) {
    const StatusOr<EncodedRow> x = a.read(index), y = b.read(index);
    REQUIRE(x.ok());
    REQUIRE(y.ok());
    CHECK(x->key == y->key);
    CHECK(x->timestep == y->timestep);
    for (std::size_t field = 0; field < kNumEncodedFields; ++field) {
      CHECK(x->shapes[field] == y->shapes[field]);
      REQUIRE(x->values[field].size() == y->values[field].size());
      CHECK(std::memcmp(x->values[field].data(), y->values[field].data(),
                        x->values[field].size()) == 0);
    }
  }
}

std::unique_ptr<EncodedRows> reopen(const std::string& path) {
  StatusOr<std::unique_ptr<EncodedRows>> rows = open_encoded_rows(path, "test");
  INFO(message_of(rows.status()));
  REQUIRE(rows.ok());
  return *std::move(rows);
}

}  // namespace

TEST_CASE("encoded: both formats give back what was written, and each becomes the other",
          "[data]") {
  const TemporaryFolder folder;
  MemoryRows rows(11);
  rows.rows[4].timestep = std::nullopt;
  rows.rows[7].key = "";
  const auto arrow = reopen(write(rows, folder, "arrow"));
  check_same(rows, *arrow);
  const auto shards = reopen(write(*arrow, folder, "rows"));
  check_same(rows, *shards);
  check_same(rows, *reopen(write(*shards, folder, "arrow")));
  CHECK(shards->values_checked());
  CHECK_FALSE(arrow->values_checked());
  CHECK(shards->describe(4) == "rows-00001-of-00004.safetensors row 1");
  CHECK(arrow->fingerprint() != shards->fingerprint());
}

TEST_CASE("encoded: a sample has the columns as bfloat16 fields, and a timestep where all have one",
          "[data]") {
  const TemporaryFolder folder;
  MemoryRows rows(5);
  for (const std::string format : {"arrow", "rows"}) {
    const auto dataset = open("coco_preprocessed", write(rows, folder, format));
    CHECK(dataset->size() == 5);
    const StatusOr<Sample> sample = dataset->read(3, {});
    REQUIRE(sample.ok());
    CHECK(sample->fields.size() == 5);
    CHECK(sample->fields.get("t5_encodings").sizes() == at::IntArrayRef({6, 8}));
    CHECK(sample->fields.get("clip_encodings").sizes() == at::IntArrayRef({4}));
    CHECK(sample->fields.get("timestep").item<int64_t>() == 3);
    const at::Tensor mean = sample->fields.get("mean");
    CHECK(mean.scalar_type() == at::kBFloat16);
    CHECK(std::memcmp(mean.const_data_ptr(), rows.rows[3].values[2].data(), mean.nbytes()) == 0);
  }
  // A training set hands on whatever it has: training does not look, evaluation checks.
  rows.rows[1].timestep = 31;
  rows.rows[2].timestep = std::nullopt;
  const auto training = open("cc12m_preprocessed", write(rows, folder, "arrow"));
  for (const auto& [row, timestep] : {std::pair{4, 4}, {1, 31}, {2, -1}}) {
    const StatusOr<Sample> sample = training->read(row, {});
    REQUIRE(sample.ok());
    CHECK(sample->fields.get("timestep").item<int64_t>() == timestep);
  }
  rows.rows[0].timestep = std::nullopt;
  const std::string path = write(rows, folder, "arrow");
  CHECK_FALSE(open("cc12m_preprocessed", path)->read(1, {})->fields.contains("timestep"));
  CHECK_THAT(open_error("coco_preprocessed", path),
             Contains("row 0 has no timestep; an evaluation set needs"));
}

TEST_CASE("encoded: the loader reads rows straight into the batch", "[data]") {
  const TemporaryFolder folder;
  MemoryRows rows(9);
  rows.rows[4].values[3][15] = 0xFF80;
  rows.pretend_checked = true;
  const std::shared_ptr<const Dataset> dataset =
      open("coco_preprocessed", write(rows, folder, "arrow"));
  const std::vector<FieldLayout> layout = dataset->layout();
  REQUIRE(layout.size() == kNumEncodedFields + 1);
  CHECK(layout[0].name == "t5_encodings");
  CHECK(layout[0].size_bytes() == 96);
  auto loader = DataLoader::create(
      dataset, {.micro_batch = 9, .global_batch = 9, .shuffle = false, .max_broken_share = 0.5});
  REQUIRE(loader.ok());
  for (int epoch = 0; epoch < 2; ++epoch) {
    const StatusOr<Batch> batch = (*loader)->next();
    REQUIRE(batch.ok());
    CHECK((*loader)->stats().broken == epoch + 1);
    REQUIRE(batch->fields.size() == layout.size());
    for (int64_t slot = 0; slot < 9; ++slot) {
      const int64_t index = batch->sample[slot].item<int64_t>();
      CHECK((index == slot) == (slot != 4));
      const StatusOr<Sample> sample = dataset->read(index, {});
      REQUIRE(sample.ok());
      for (const FieldLayout& field : layout)
        CHECK(at::equal(batch->fields.get(field.name)[slot], sample->fields.get(field.name)));
    }
  }
}

TEST_CASE("encoded: a row that went bad in a shard is found, though its writer looked", "[data]") {
  const TemporaryFolder folder;
  const std::string rows = write(MemoryRows(3), folder, "rows");
  const std::string file = "rows-00000-of-00001.safetensors";
  std::string bytes = testing::slurp(rows + "/" + file);
  const StatusOr<SafetensorsFile> shard = SafetensorsFile::open(rows + "/" + file);
  REQUIRE(shard.ok());
  const auto stride = static_cast<std::size_t>(shard->find("rows")->shape[1]);
  const std::uint16_t nan = 0x7FC0;
  std::memcpy(bytes.data() + shard->find("rows")->offset + stride + 10, &nan, 2);
  fs::create_directory(folder / "damaged");
  fs::copy(rows + "/rows.json", folder / "damaged/rows.json");
  folder.write("damaged/" + file, bytes);
  const auto dataset = open("cc12m_preprocessed", folder / "damaged");
  CHECK(dataset->read(0, {}).ok());
  CHECK_THAT(message_of(dataset->read(1, {}).status()),
             Contains("[cc12m_preprocessed] " + file +
                      " row 1: column 't5_encodings' holds NaN or infinity (element 5)"));
}

TEST_CASE("encoded: a conversion reads each row once, and keys without reading values", "[data]") {
  const TemporaryFolder folder;
  MemoryRows rows(12);
  for (const std::string format : {"rows", "arrow"}) {
    rows.num_reads = 0;
    const auto written = reopen(write(rows, folder, format, 5));
    CHECK(rows.num_reads == 12 + 1);  // the first one tells the shapes
    for (int64_t index = 0; index < 12; ++index) {
      const StatusOr<EncodedTag> tag = written->tag(index);
      REQUIRE(tag.ok());
      CHECK(tag->key == rows.rows[static_cast<std::size_t>(index)].key);
      CHECK(tag->timestep == rows.rows[static_cast<std::size_t>(index)].timestep);
    }
  }
}

TEST_CASE("encoded: tensors outlive their data set", "[data]") {
  const TemporaryFolder folder;
  const MemoryRows rows(2);
  Sample sample;
  {
    const auto dataset = open("cc12m_preprocessed", write(rows, folder, "rows"));
    sample = *dataset->read(1, {});
  }
  CHECK(std::memcmp(sample.fields.get("logvar").const_data_ptr(), rows.rows[1].values[3].data(),
                    32) == 0);
}

TEST_CASE("encoded: any cursor and any layout gives the same global batches in stored order",
          "[data]") {
  const TemporaryFolder folder;
  const std::shared_ptr<const Dataset> dataset =
      open("coco_preprocessed", write(MemoryRows(10), folder, "arrow"));
  for (const int dp_size : {1, 2, 4}) {
    for (const int64_t step : {0, 1, 7}) {
      std::vector<int64_t> seen;
      for (int rank = 0; rank < dp_size; ++rank) {
        auto loader = DataLoader::create(dataset, {.micro_batch = 1,
                                                   .global_batch = 4,
                                                   .dp_rank = rank,
                                                   .dp_size = dp_size,
                                                   .start_cursor = 4 * step,
                                                   .shuffle = false});
        REQUIRE(loader.ok());
        for (int i = 0; i < 4 / dp_size; ++i) {
          const StatusOr<Batch> batch = (*loader)->next();
          REQUIRE(batch.ok());
          seen.push_back(batch->sample[0].item<int64_t>());
          CHECK(batch->fields.get("timestep")[0].item<int64_t>() == seen.back() % 8);
        }
      }
      std::vector<int64_t> expected;
      for (int64_t slot = 4 * step; slot < 4 * step + 4; ++slot) expected.push_back(slot % 10);
      CHECK(seen == expected);
    }
  }
}

TEST_CASE("encoded: a bad row is named with its file, and why", "[data]") {
  const TemporaryFolder folder;
  const auto message = [&](const MemoryRows& rows, int64_t index) {
    // The file is written without the checks, then read with them.
    MemoryRows unchecked = rows;
    unchecked.pretend_checked = true;
    const std::string path = folder / std::to_string(std::rand());
    fs::create_directory(path);
    const Status status = write_saved_rows(unchecked, path, 1'000'000, kQuiet);
    INFO(message_of(status));
    REQUIRE(status.ok());
    return message_of(open("coco_preprocessed", path)->read(index, {}).status());
  };
  const std::string where = "[coco_preprocessed] data-00000-of-00001.arrow row 3";
  MemoryRows rows(5);
  CHECK(message(rows, 3).empty());
  rows.rows[3].values[0][17] = 0x7FC0;
  CHECK_THAT(message(rows, 3),
             Contains(where + ": column 't5_encodings' holds NaN or infinity (element 17)"));
  CHECK(message(rows, 2).empty());
  rows.rows[3].values[0][17] = 0xFF80;  // -infinity
  CHECK_THAT(message(rows, 3), Contains("NaN or infinity"));
  rows = MemoryRows(5);
  rows.rows[3].timestep = 8;
  CHECK_THAT(message(rows, 3), Contains(where + ": timestep out of range (8, it must be 0 to 7)"));
  rows.rows[3].timestep = -1;
  CHECK_THAT(message(rows, 3), Contains("timestep out of range (-1"));
  rows.rows[3].timestep = std::nullopt;
  CHECK_THAT(message(rows, 3), Contains("no timestep, other rows have one"));
}

TEST_CASE("encoded: a conversion refuses bad rows and leaves names", "[data]") {
  const TemporaryFolder folder;
  MemoryRows rows(5);
  rows.rows[2].values[1][3] = 0x7F80;
  for (const std::string format : {"arrow", "rows"}) {
    const std::string path = folder / format;
    fs::create_directory(path);
    const Status status = format == "rows" ? write_row_shards(rows, path, 9, kQuiet)
                                           : write_saved_rows(rows, path, 1 << 20, kQuiet);
    CHECK_THAT(message_of(status),
               Contains("memory row 2: column 'clip_encodings' holds NaN or infinity (element 3)"));
  }
  rows = MemoryRows(5);
  rows.rows[4].shapes[2] = {16};
  const std::string path = folder / "shape";
  fs::create_directory(path);
  CHECK_THAT(message_of(write_row_shards(rows, path, 9, kQuiet)),
             Contains("memory row 4: column 'mean' has shape [16], the data set has [4, 2, 2]"));
}

TEST_CASE("encoded: what a data set cannot be opened from", "[data]") {
  const TemporaryFolder folder;
  CHECK_THAT(open_error("cc12m_preprocessed", folder / "nowhere"), Contains("does not exist"));
  CHECK_THAT(open_error("cc12m_preprocessed", folder.path().string()),
             Contains("holds no preprocessed samples") && Contains("rows.json"));
  const std::string arrow = write(MemoryRows(7), folder, "arrow", 1);
  JobConfig config = encoded_config("cc12m_preprocessed", arrow);
  config.dataset.image_size = {2, 4};
  CHECK_THAT(message_of(open_dataset(config).status()), Contains("latents are not resized"));
  const std::string rows = write(MemoryRows(7), folder, "rows");
  fs::remove(fs::path(rows) / "rows-00001-of-00003.safetensors");
  CHECK_THAT(open_error("cc12m_preprocessed", rows),
             Contains("lists a file that is not there (rows-00001-of-00003.safetensors)"));
  for (const auto& [text, why] : std::vector<std::pair<std::string, std::string>>{
           {"{", "cannot be read"},
           {R"({"format": "other", "version": 1})", "not titan-rows"},
           {R"({"format": "titan-rows", "version": 1, "fields": {"t5_encodings": [1048577, 8]}})",
            "impossible shape"},
           {R"({"format": "titan-rows", "version": 2, "fields": {"t5_encodings": []}})",
            "impossible shape of 't5_encodings'"},
           {R"({"format": "titan-rows", "version": 1, "fields": {"t5_encodings": [6, 1e30]}})",
            "impossible shape of 't5_encodings'"},
           {R"({"format": "titan-rows", "version": 4294967297})", "of version 1 or 2"},
           {R"({"format": "titan-rows", "version": 1, "fields": {"t5_encodings": [6, 8],
               "clip_encodings": [4], "mean": [4, 2, 2], "logvar": [4, 2, 2]},
               "files": [{"name": "../x", "rows": 3}]})",
            "impossible file"},
           {R"({"format": "titan-rows", "version": 1, "fields": {"t5_encodings": [6, 80],
               "clip_encodings": [4], "mean": [4, 2, 2], "logvar": [4, 2, 2]},
               "files": [{"name": "rows-00000-of-00003.safetensors", "rows": 3}]})",
            "tensor 'rows' is U8"}}) {
    folder.write(fs::path(rows).filename() / "rows.json", text);
    CHECK_THAT(open_error("cc12m_preprocessed", rows), Contains(why));
  }
}

TEST_CASE("encoded: hostile key positions of a shard are an error of their row", "[data]") {
  const TemporaryFolder folder;
  const std::string rows = write(MemoryRows(2), folder, "rows");
  const std::string path = rows + "/rows-00000-of-00001.safetensors";
  std::string bytes = testing::slurp(path);
  std::size_t at = 0;
  {
    const StatusOr<SafetensorsFile> file = SafetensorsFile::open(path);
    REQUIRE(file.ok());
    at = file->find("key_ends")->offset;
  }
  const int64_t hostile = int64_t{1} << 60;
  std::memcpy(bytes.data() + at + 8, &hostile, 8);
  folder.write(fs::path(rows).filename() / "rows-00000-of-00001.safetensors", bytes);
  const auto reopened = reopen(rows);
  CHECK(reopened->read(0).ok());
  CHECK_THAT(message_of(reopened->read(1).status()), Contains("row 1: key out of range"));
}

TEST_CASE("encoded: synthetic samples have the sizes of the config", "[data]") {
  JobConfig config = encoded_config("flux_synthetic", "");
  config.training.img_size = 64;
  config.encoder.max_t5_encoding_len = 12;
  config.encoder.context_in_dim = 24;
  config.encoder.vec_in_dim = 6;
  const auto dataset = open_dataset(config);
  REQUIRE(dataset.ok());
  const Sample sample = *(*dataset)->read(21, {}), again = *(*dataset)->read(21, {}),
               other = *(*dataset)->read(5, {});
  CHECK(sample.fields.get("mean").sizes() == at::IntArrayRef({16, 8, 8}));
  CHECK(sample.fields.get("logvar").sizes() == at::IntArrayRef({16, 8, 8}));
  CHECK(sample.fields.get("t5_encodings").sizes() == at::IntArrayRef({12, 24}));
  CHECK(sample.fields.get("clip_encodings").sizes() == at::IntArrayRef({6}));
  CHECK(sample.fields.get("timestep").item<int64_t>() == 21 % 8);
  for (const char* field : kEncodedFields) {
    CHECK(at::equal(sample.fields.get(field), again.fields.get(field)));
    CHECK(sample.fields.get(field).isfinite().all().item<bool>());
  }
  // 21 and 5 share a prompt, not their latents.
  CHECK(at::equal(sample.fields.get("t5_encodings"), other.fields.get("t5_encodings")));
  CHECK_FALSE(at::equal(sample.fields.get("mean"), other.fields.get("mean")));
  config.training.img_size = 40;
  CHECK_THAT(message_of(open_dataset(config).status()), Contains("must be even (5 x 5"));
}

TEST_CASE("empty encodings: what is missing or wrong is named", "[data]") {
  const TemporaryFolder folder;
  const auto message = [&] {
    return message_of(load_empty_encodings(folder.path().string()).status());
  };
  CHECK_THAT(message_of(load_empty_encodings("").status()),
             Contains("encoder.empty_encodings_path is not set"));
  CHECK_THAT(message_of(load_empty_encodings(folder / "nowhere").status()),
             Contains("no such folder") && Contains("class_dropout_prob = 0"));
  CHECK_THAT(message(), Contains("t5_empty.npy"));
  CHECK(load_empty_encodings(folder.path().string()).status().code() ==
        absl::StatusCode::kNotFound);
  folder.write("t5_empty.npy", render_npy_header("<f4", {1, 2, 3}) + std::string(24, '\0'));
  CHECK_THAT(message(), Contains("clip_empty.npy"));
  folder.write("clip_empty.npy", render_npy_header("<f8", {1, 3}) + std::string(24, '\0'));
  CHECK_THAT(message(), Contains("clip_empty.npy: has dtype '<f8'"));
  folder.write("clip_empty.npy", render_npy_header("<u2", {4}) + std::string(8, '\0'));
  CHECK_THAT(message(), Contains("has shape [4], not 2 dimensions"));
  folder.write("clip_empty.npy", render_npy_header("<u2", {1, 4}) + std::string(7, '\0'));
  CHECK_THAT(message(), Contains("clip_empty.npy: ") && Contains("cut short"));
  folder.write("clip_empty.npy", render_npy_header("<u2", {1, 4}) +
                                     std::string("\x80\x3F\x00\x40\x80\x7F\x00\x00", 8));
  CHECK_THAT(message(), Contains("holds NaN or infinity (element 2)"));
  folder.write("clip_empty.npy", render_npy_header("<u2", {1, 4}) +
                                     std::string("\x80\x3F\x00\x40\x80\x3F\x00\x00", 8));
  const StatusOr<EmptyEncodings> loaded = load_empty_encodings(folder.path().string());
  REQUIRE(loaded.ok());
  CHECK(loaded->clip[1].item<float>() == 2);
  CHECK(check_empty_encodings(*loaded, {2, 3}, {4}).ok());
  CHECK_THAT(message_of(check_empty_encodings(*loaded, {2, 8}, {4})),
             Contains("t5_empty.npy [2, 3], the samples' t5_encodings [2, 8]"));
}

}  // namespace titan
