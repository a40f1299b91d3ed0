// What users of `titan infer` and `titan sample --prompt` get wrong.
#include <filesystem>

#include "tests/integration/training.h"
#include "tests/support/catch.h"

using namespace titan::testing;
namespace fs = std::filesystem;

namespace {

using Arguments = std::vector<std::string>;
using Environment = std::map<std::string, std::string>;

/// `titan infer` on the run, without a config: the run folder knows.
ProcessResult infer(const TemporaryFolder& folder, const std::string& save_path,
                    const Arguments& extra = {}, const Environment& environment = {}) {
  Arguments command = {kTitanBinary,
                       "infer",
                       "--job.dump_folder=" + (folder / "run"),
                       "--inference.save_path=" + (folder / save_path),
                       "--inference.prompts_path=" + (folder / "prompts.txt"),
                       "--inference.batch_size=2",
                       "--sampling.steps=3",
                       "--sampling.guidance=3"};
  command.insert(command.end(), extra.begin(), extra.end());
  return run(command, environment);
}

const char* const kPrompts = "a red circle\n\na small blue triangle\nein grüner Würfel, 立方体\n";

void refused(const ProcessResult& result, const Arguments& mentions) {
  INFO(result.output);
  REQUIRE(result.exit_code == 2);
  for (const std::string& text : mentions) {
    INFO("looking for: " << text);
    REQUIRE(result.mentions(text));
  }
}

}  // namespace

TEST_CASE("what inference lacks is said with how to get it", "[integration]") {
  const TemporaryFolder folder;
  const ProcessResult trained = train(
      tiny_flux(folder / "run", {"--training.steps=2", "--eval.dataset=", "--checkpoint.interval=1",
                                 "--checkpoint.keep_latest_k=2"}));
  INFO(trained.output);
  REQUIRE(trained.exit_code == 0);

  refused(infer(folder, "out"), {"prompts.txt", "one prompt a line"});
  folder.write("prompts.txt", " \n\n");
  refused(infer(folder, "out"), {"holds no prompts"});
  folder.write("prompts.txt", kPrompts);
  refused(infer(folder, "out"), {"scripts/download.sh t5", "scripts/download.sh clip"});
  refused(infer(folder, "out", {"--inference.prompt_path=x"}), {"inference.prompts_path"});
  CHECK_FALSE(fs::exists(folder / "out"));
  CHECK(run({kTitanBinary, "infer", "--help"}).mentions("--inference.prompts_path"));

  REQUIRE(train(tiny_job(folder / "classes", {"--checkpoint.enable_checkpoint"})).exit_code == 0);
  refused(infer(folder, "out", {"--job.dump_folder=" + (folder / "classes")}),
          {"takes no text", "titan sample"});
  refused(run({kTitanBinary, "sample", folder / "classes", "--prompt=a cat"}), {"takes no text"});
}
