// Folders that the MLPerf reference and other writers have left, whole and damaged.
#include "tests/support/catch.h"

#include <filesystem>
#include <fstream>

#include "tests/support/golden.h"
#include "tests/support/sha256.h"
#include "titan/config/job_config.h"
#include "titan/data/dataloader.h"
#include "titan/data/dataset.h"
#include "titan/data/empty_encodings.h"
#include "titan/data/encoded_rows.h"

namespace titan {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

json golden_json(const fs::path& path) {
  std::ifstream file(path);
  return json::parse(file);
}

std::string key_of(const json& row) {
  const json& key = row.contains("__key__") ? row["__key__"] : row["key"];
  return key.is_null() ? "" : key.get<std::string>();
}

std::string sha_of(const json& row, const char* field) {
  return row.contains("sha256") ? row["sha256"][field].get<std::string>()
                                : row[field]["sha256"].get<std::string>();
}

/// Number of fields whose bytes are not those of `expected`, and of keys and timesteps.
int differences(const EncodedRow& row, const json& expected) {
  int wrong = row.key == key_of(expected) ? 0 : 1;
  const json& timestep = expected["timestep"];
  if (timestep.is_null() ? row.timestep.has_value() : row.timestep != timestep.get<int64_t>())
    ++wrong;
  for (std::size_t field = 0; field < kNumEncodedFields; ++field)
    wrong += testing::sha256_hex(row.values[field].data(), row.values[field].size()) ==
                     sha_of(expected, kEncodedFields[field])
                 ? 0
                 : 1;
  return wrong;
}

/// Preprocessed folders with a list of rows beside them.
std::vector<std::pair<fs::path, json>> listed_folders() {
  std::vector<std::pair<fs::path, json>> found;
  for (const fs::path& root : testing::golden_folders("data/arrow")) {
    for (const auto& entry : fs::directory_iterator(root)) {
      fs::path list = entry.path();
      if (!entry.is_directory()) continue;
      list += "_rows.json";
      if (!fs::exists(list)) list = fs::path(entry.path()) += ".json";
      if (!fs::exists(list) || !fs::exists(entry.path() / "state.json")) continue;
      const json rows = golden_json(list);
      const json info = golden_json(entry.path() / "dataset_info.json");
      if (info["features"].contains("t5_encodings")) found.emplace_back(entry.path(), rows);
    }
  }
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  return found;
}

JobConfig config_of(const std::string& name, const fs::path& path) {
  JobConfig config;
  config.training.dataset = name;
  config.training.dataset_path = path.string();
  return config;
}

}  // namespace

TEST_CASE("encoded golden: every row of the reference's folders, bit for bit", "[golden]") {
  const auto folders = listed_folders();
  if (folders.empty()) TITAN_SKIP(testing::kNoGolden);
  for (const auto& [folder, listed] : folders) {
    INFO(folder.string());
    const auto rows = open_encoded_rows(folder.string(), "golden");
    REQUIRE(rows.ok());
    const json& expected = listed["rows"];
    REQUIRE((*rows)->size() == static_cast<int64_t>(expected.size()));
    int wrong = 0;
    for (std::size_t i = expected.size(); i-- > 0;) {
      const auto row = (*rows)->read(static_cast<int64_t>(i));
      REQUIRE(row.ok());
      wrong += differences(*row, expected[i]);
    }
    CHECK(wrong == 0);
    std::printf("%s: %zu rows, %d values differ\n", folder.filename().c_str(), expected.size(),
                wrong);
  }
}

TEST_CASE("encoded golden: tensors of rows that are given in full", "[golden]") {
  int compared = 0;
  for (const fs::path& stem : testing::golden_cases("data/arrow")) {
    const std::string name = stem.filename().string();
    if (!name.ends_with("_preprocessed_rows")) continue;
    const testing::GoldenCase golden = testing::load_golden(stem);
    const fs::path folder = stem.parent_path() / name.substr(0, name.size() - 5);
    const auto dataset = open_dataset(config_of("cc12m_preprocessed", folder));
    REQUIRE(dataset.ok());
    for (const auto& [key, tensor] : golden.tensors) {
      const std::size_t dot = key.find('.');
      const auto sample = (*dataset)->read(std::stoll(key.substr(0, dot)), {});
      REQUIRE(sample.ok());
      const at::Tensor ours = sample->fields.get(key.substr(dot + 1));
      REQUIRE(ours.defined());
      CHECK(ours.scalar_type() == tensor.scalar_type());
      CHECK(at::equal(ours, tensor));
      ++compared;
    }
  }
  if (compared == 0) TITAN_SKIP(testing::kNoGolden);
  std::printf("%d tensors are equal\n", compared);
}

TEST_CASE("encoded golden: damaged folders give their rows or a clear error", "[golden]") {
  int folders = 0;
  for (const fs::path& root : testing::golden_folders("data/arrow")) {
    if (!fs::exists(root / "damaged" / "expected.json")) continue;
    const json expected = golden_json(root / "damaged" / "expected.json");
    json good;
    for (const json& entry : expected["folders"])
      if (entry["folder"] == "good") good = entry["rows"];
    for (const json& entry : expected["folders"]) {
      const auto name = entry["folder"].get<std::string>();
      const std::string what = name + ": " + entry["what"].get<std::string>();
      INFO(what);
      ++folders;
      const std::string path = (root / "damaged" / name).string();
      const auto rows = open_encoded_rows(path, "golden");
      const bool reference_opens = !entry.contains("open_error");
      const bool any_row_fails = std::any_of(entry["rows"].begin(), entry["rows"].end(),
                                             [](const json& row) { return row.contains("error"); });
      if (!rows.ok()) {
        // Ours may refuse what the reference reads to the end only where the list allows it: a
        // compressed file, no rows; or finds a fault of the columns before any row is asked for.
        std::printf("%-18s refused: %s\n", name.c_str(), message_of(rows.status()).c_str());
        CHECK((!reference_opens || any_row_fails || entry["rows"].empty() || name == "compressed"));
        CHECK_THAT(message_of(rows.status()), Catch::Matchers::Contains(name));
        continue;
      }
      // Where the reference cannot open it and we can, rows are those of the undamaged folder.
      const json& list = reference_opens ? entry["rows"] : good;
      REQUIRE((*rows)->size() == static_cast<int64_t>(list.size()));
      const auto first = first_readable_row(**rows);
      REQUIRE(first.ok());
      for (std::size_t i = 0; i < list.size(); ++i) {
        INFO("row " << i);
        const auto row = (*rows)->read(static_cast<int64_t>(i));
        Status status = row.status();
        if (status.ok()) status = check_encoded_row(*row, first->shapes, true);
        if (status.ok()) {
          CHECK_FALSE(list[i].contains("error"));
          CHECK(differences(*row, list[i]) == 0);
          continue;
        }
        std::printf("%-18s row %zu: %s\n", name.c_str(), i, message_of(status).c_str());
        // The three faults that the reference lets through, and we do not.
        CHECK((list[i].contains("error") || name == "npy_float32" || name == "npy_wrong_shape" ||
               name == "null_key"));
      }
    }
  }
  if (folders == 0) TITAN_SKIP(testing::kNoGolden);
  std::printf("%d folders\n", folders);
}

TEST_CASE("encoded golden: one pass in the reference's order, endless without its repeat",
          "[golden]") {
  int compared = 0;
  for (const fs::path& root : testing::golden_folders("data/loader")) {
    if (!fs::exists(root / "map_style")) continue;
    const json expected = golden_json(root / "expected.json")["map_style"];
    const auto ids = expected["ranks"]["1"]["one_pass"][0].get<std::vector<int64_t>>();
    auto opened = open_dataset(config_of("cc12m_preprocessed", root / "map_style"));
    INFO(message_of(opened.status()));
    REQUIRE(opened.ok());
    const std::shared_ptr<const Dataset> dataset = *std::move(opened);
    REQUIRE(dataset->size() == expected["rows"].get<int64_t>());
    const auto rows = open_encoded_rows((root / "map_style").string(), "golden");
    // Every start gives the rest of the same stream.
    for (int64_t start = 0; start < dataset->size() + 3; ++start) {
      auto loader = DataLoader::create(
          dataset, {.micro_batch = 1, .global_batch = 1, .start_cursor = start, .shuffle = false});
      REQUIRE(loader.ok());
      for (int64_t slot = start; slot < start + dataset->size(); ++slot) {
        const auto batch = (*loader)->next();
        REQUIRE(batch.ok());
        const int64_t id = ids[static_cast<std::size_t>(slot) % ids.size()];
        CHECK(batch->sample[0].item<int64_t>() == id);
        const auto row = (*rows)->read(id);
        REQUIRE(row.ok());
        const at::Tensor mean = batch->fields.get("mean");
        CHECK(std::memcmp(mean.const_data_ptr(), row->values[2].data(), mean.nbytes()) == 0);
        ++compared;
      }
    }
  }
  if (compared == 0) TITAN_SKIP(testing::kNoGolden);
}

TEST_CASE("encoded golden: empty encodings", "[golden]") {
  int compared = 0;
  for (const fs::path& stem : testing::golden_cases("data/arrow", "empty_encodings_loaded")) {
    const testing::GoldenCase golden = testing::load_golden(stem);
    const auto loaded = load_empty_encodings((stem.parent_path() / "empty_encodings").string());
    INFO(message_of(loaded.status()));
    REQUIRE(loaded.ok());
    CHECK(at::equal(loaded->t5, golden.at("t5")));
    CHECK(at::equal(loaded->clip, golden.at("clip")));
    ++compared;
  }
  if (compared == 0) TITAN_SKIP(testing::kNoGolden);
}

}  // namespace titan
