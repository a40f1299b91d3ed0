// The reference's own reader, the Python library `datasets`, takes what the job writes.
#include "tests/support/catch.h"
// First of all: Catch2 and LibTorch share macros.
#include <cstdlib>

#include "tests/preprocess/fake_job.h"
#include "tests/support/golden.h"
#include "tests/support/process.h"
#include "titan/data/encoded_file.h"
#include "titan/data/encoded_rows.h"

using namespace titan;
using namespace titan::testing;
namespace fs = std::filesystem;

namespace {

/// A Python that has `datasets`, or nothing.
std::string python_with_datasets() {
  const char* chosen = std::getenv("TITAN_DATASETS_PYTHON");
  const std::string python = chosen != nullptr ? chosen : "/tmp/flux_venv/bin/python";
  if (!fs::exists(python)) return "";
  return run({python, "-c", "import datasets, numpy"}).exit_code == 0 ? python : "";
}

constexpr const char* kNoPython =
    "no Python with the library datasets (TITAN_DATASETS_PYTHON, else /tmp/flux_venv/bin/python)";

}  // namespace

TEST_CASE("the datasets library loads the job's folder: rows, types, npy blobs, nulls",
          "[preprocess]") {
  const std::string python = python_with_datasets();
  if (python.empty()) TITAN_SKIP(kNoPython);
  for (const bool timesteps : {true, false}) {
    const TemporaryFolder folder;
    const auto dataset = std::make_shared<FakeImages>(23);
    dataset->broken = {5};
    dataset->with_timesteps = timesteps;
    REQUIRE(run_alone(fake_options(folder / "out"), dataset).ok());
    const std::string script = folder.write("read.py", R"(
import datasets, io, numpy, sys
rows = datasets.load_from_disk(sys.argv[1])
print(dict(rows.features), len(rows))
keep = [i for i in range(23) if i != 5]
assert rows['__key__'] == [f'key-{i * i}' for i in keep], rows['__key__']
assert rows['timestep'] == ([i % 8 for i in keep] if sys.argv[2] == '1' else [None] * 22)
for row in rows:
    for name, shape in (('t5_encodings', (6, 8)), ('clip_encodings', (4,)), ('mean', (3, 2, 2)), ('logvar', (3, 2, 2))):
        blob = numpy.load(io.BytesIO(row[name]))
        assert blob.dtype == numpy.uint16 and blob.shape == shape, (name, blob.dtype, blob.shape)
mean = numpy.load(io.BytesIO(rows[0]['mean'])).astype(numpy.uint32) << 16
print('first mean', mean.view(numpy.float32).ravel()[:2])
print('all is well')
)");
    const ProcessResult result =
        run({python, script, folder / "out", timesteps ? "1" : "0"}, {{"HF_HOME", folder / "hf"}});
    INFO(result.output);
    REQUIRE(result.exit_code == 0);
    CHECK(result.mentions("all is well"));
  }
}

TEST_CASE("the goldens' rows, written anew, are the same table to the datasets library",
          "[preprocess][golden]") {
  const std::string python = python_with_datasets();
  if (python.empty()) TITAN_SKIP(kNoPython);
  int folders = 0;
  for (const fs::path& root : golden_folders("data/arrow")) {
    for (const auto& entry : fs::directory_iterator(root)) {
      if (!entry.path().filename().string().ends_with("_preprocessed")) continue;
      INFO(entry.path());
      const auto rows = open_encoded_rows(entry.path().string(), "golden").value();
      const TemporaryFolder folder;
      const auto format = find_encoded_format("arrow").value();
      const EncodedShapes shapes = rows->read(0)->shapes;
      const std::string name = format->file_name(0, 1);
      const auto file = format->create_file(folder / name, shapes).value();
      for (int64_t i = 0; i < rows->size(); ++i) REQUIRE(file->append(*rows->read(i)).ok());
      REQUIRE(file->finish().ok());
      REQUIRE(format->write_index(folder.path().string(), shapes, {{name, rows->size()}}).ok());
      const TemporaryFolder scripts;
      const std::string script = scripts.write("compare.py", R"(
import datasets, json, sys
ours, theirs = (datasets.load_from_disk(path) for path in sys.argv[1:])
assert ours.features == theirs.features, (ours.features, theirs.features)
assert ours.column_names == theirs.column_names, (ours.column_names, theirs.column_names)
assert ours.data.table.schema.equals(theirs.data.table.schema), (ours.data.table.schema, theirs.data.table.schema)
assert json.loads(ours.data.table.schema.metadata[b'huggingface']) == json.loads(theirs.data.table.schema.metadata[b'huggingface'])
assert len(ours) == len(theirs) and all(a == b for a, b in zip(ours, theirs)), 'rows differ'
print('the same table')
)");
      const ProcessResult result =
          run({python, script, folder.path().string(), entry.path().string()},
              {{"HF_HOME", scripts / "hf"}});
      INFO(result.output);
      REQUIRE(result.exit_code == 0);
      CHECK(result.mentions("the same table"));
      ++folders;
    }
  }
  if (folders == 0) TITAN_SKIP("no golden files");
}
